//go:build unix

package command

import (
	"os/exec"
	"syscall"
)

// ownGroup lets the program's children be ended with it. A signal from our terminal, or for our group, does not reach
// them: a useradd that was cut off halfway is what we have to mend later.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
