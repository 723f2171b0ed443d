package sshwrap

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// askedByG reports whether the ssh that runs us only prints its configuration (ssh -G), as completion of shells and git
// have it do: nobody logs in for that.
func askedByG() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", os.Getppid()))
	if err != nil {
		return false
	}
	words := strings.Split(string(bytes.TrimRight(b, "\x00")), "\x00")
	line, err := sshlogin.SSH().Split(words[1:])
	return err == nil && strings.HasSuffix(words[0], "ssh") && sshlogin.SSH().Has(sshlogin.SSH().Options(line), "G")
}
