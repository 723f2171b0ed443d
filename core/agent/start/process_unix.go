//go:build unix

package start

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
)

func terminate(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }

// alive reports whether a process runs. One that is dead and not collected yet does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // no /proc here
	}
	_, state, ok := bytes.Cut(b, []byte(") "))
	return !ok || len(state) == 0 || state[0] != 'Z'
}

// processName is what the system calls a process, "" where it does not say.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
