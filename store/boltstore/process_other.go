//go:build !linux

package boltstore

// hostID is unknown here, so that no process of another program is ever taken for dead.
func hostID() string { return "" }

func startTime(int) uint64 { return 0 }

func processExists(int) bool { return true }
