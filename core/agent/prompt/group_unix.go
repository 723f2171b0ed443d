//go:build unix

package prompt

import (
	"os/exec"
	"syscall"
)

// asGroup has a program and all that it starts end together. The programs that ask are often scripts: without this, the
// window of one that was given up would stay on the screen and take a password for nobody. A program that draws on a
// terminal cannot have this: in a group of its own it would be in the background there.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
