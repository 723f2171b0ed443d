//go:build unix

package services

import (
	"os/exec"
	"syscall"
)

func (o *owner) runs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}, //nolint:gosec // from the system
	}
}
