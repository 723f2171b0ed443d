package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// exitPoll is how often, in ms, the wait for a process looks whether it is still wanted.
const exitPoll = 2000

// waitForExit returns errCommandEnded when the process has ended. It is no child of ours, and its state in /proc says too
// much: while a process with threads becomes another program, it is a zombie for a moment.
func waitForExit(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return errCommandEnded
	}
	if err != nil { // a system without it, or a sandbox
		return pollForExit(ctx, pid)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing to save
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, exitPoll)
		if n > 0 {
			return errCommandEnded
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
	}
	return nil
}
