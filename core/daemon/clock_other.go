//go:build unix && !linux

package daemon

// monotonicMicros is for systemd, which is on Linux alone.
func monotonicMicros() int64 { return 0 }
