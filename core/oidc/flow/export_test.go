package flow

import (
	"context"
	"time"
)

// RecordSleep makes c wait no time and write down for how long it would have.
func RecordSleep(c *Client, waits *[]time.Duration) {
	c.sleep = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
}

// ReadTokens is for fuzzing.
var ReadTokens = readTokens

// PassTime is RecordSleep that also moves a clock on.
func PassTime(c *Client, waits *[]time.Duration, now *time.Time) {
	c.sleep = func(ctx context.Context, d time.Duration) error {
		*waits, *now = append(*waits, d), now.Add(d)
		return ctx.Err()
	}
}
