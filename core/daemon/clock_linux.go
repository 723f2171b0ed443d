package daemon

import "golang.org/x/sys/unix"

// monotonicMicros is CLOCK_MONOTONIC, by which systemd tells a reload from the one before.
func monotonicMicros() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano() / 1000
}
