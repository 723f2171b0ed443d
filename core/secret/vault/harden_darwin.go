package vault

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HardenProcess keeps this process from leaving a core file and a debugger from attaching.
func HardenProcess() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.PtraceDenyAttach(); err != nil {
		return fmt.Errorf("forbid debuggers: %w", err)
	}
	return nil
}
