//go:build unix && !linux

package mytokenserver

// monotonicMicros is for systemd, which is on Linux alone.
func monotonicMicros() int64 { return 0 }
