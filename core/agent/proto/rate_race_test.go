//go:build race

package proto

// rate is what the race detector leaves of it: the key exchange takes twenty times as long.
const rate = 50
