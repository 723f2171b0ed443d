//go:build !race

package proto

// rate is how many requests a second the agent has to serve.
const rate = 1000
