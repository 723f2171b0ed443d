//go:build unix

package demo

import (
	"os"
	"os/exec"
	"syscall"
)

// detach gives the child a session of its own: Ctrl-C at the demo must not reach it, and --keep leaves it running.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func interrupt(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
