//go:build race

package verify

// raceEnabled says whether the race detector slows everything down.
const raceEnabled = true
