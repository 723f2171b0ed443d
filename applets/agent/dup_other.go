//go:build unix && !linux

package agent

import "golang.org/x/sys/unix"

// dup makes fd another name of file from.
func dup(from, fd int) error { return unix.Dup2(from, fd) }
