package prompt

import "os/exec"

// asGroup is not known here: the program alone is ended.
func asGroup(*exec.Cmd) {}
