//go:build unix

package prompt

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/oidcbox/oidcbox/core/cli"
)

// ownTerminal reports whether path is a terminal of ours. The one an agent was started at may be gone, and its name
// may belong to somebody else by now.
func ownTerminal(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written
	fi, err := f.Stat()
	if err != nil || !cli.IsTerminal(f) {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
