//go:build race

package vault

// raceDetector keeps a shadow of all memory, which it never gives back.
const raceDetector = true
