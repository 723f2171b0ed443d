package service

import "time"

// remaining is the time until expires by that one of the two clocks which says less. The monotonic clock of Linux
// stands still while a laptop sleeps, and the wall clock can be set back: what has a limit ends by either.
func remaining(expires, now time.Time) time.Duration {
	return min(expires.Sub(now), expires.Round(0).Sub(now.Round(0)))
}
