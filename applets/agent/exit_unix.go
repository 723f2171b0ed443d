//go:build unix

package agent

import (
	"context"
	"time"
)

// exitLooks is how often a process has to be found ended: one that becomes another program may seem so for a moment.
const exitLooks = 2

// pollForExit returns errCommandEnded when the process has ended.
func pollForExit(ctx context.Context, pid int) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for ended := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if running(pid) {
			ended = 0
		} else if ended++; ended == exitLooks {
			return errCommandEnded
		}
	}
}
