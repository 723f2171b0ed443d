//go:build !unix

package command

import "os/exec"

// ownGroup does nothing where there are no process groups: the program alone is ended.
func ownGroup(*exec.Cmd) {}
