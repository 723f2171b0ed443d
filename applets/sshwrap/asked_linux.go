package sshwrap

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// askedBy is the ssh that runs us. Between it and us there may be a shell.
func askedBy() call {
	for pid, tries := os.Getppid(), 0; pid > 1 && tries < 2; pid, tries = parentOf(pid), tries+1 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return call{}
		}
		words := strings.Split(string(bytes.TrimRight(b, "\x00")), "\x00")
		if filepath.Base(words[0]) == "ssh" {
			line, err := sshlogin.SSH().Split(words[1:])
			if err != nil {
				return call{}
			}
			return callOf(line)
		}
	}
	return call{}
}

// parentOf is 0 when it is not to be known.
func parentOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program may have anything in it, a bracket too: what follows the last one is plain.
	_, rest, _ := strings.Cut(string(b[max(bytes.LastIndexByte(b, ')'), 0):]), " ")
	var state string
	var parent int
	if n, _ := fmt.Sscan(rest, &state, &parent); n != 2 {
		return 0
	}
	return parent
}
