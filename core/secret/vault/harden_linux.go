package vault

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HardenProcess keeps this process from leaving a core file and from being read by other processes of the same user
// (ptrace, /proc/PID/mem). Daemons and commands that open secrets call it first.
//
// Two consequences: children inherit the core limit, and /proc/self/fd can no longer be listed unless we are root.
func HardenProcess() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid other processes to read our memory: %w", err)
	}
	return nil
}
