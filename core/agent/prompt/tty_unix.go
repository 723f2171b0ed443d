//go:build unix

package prompt

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ownTerminal reports whether path is a terminal of ours. The one an agent was started at may be gone, and its name
// may belong to somebody else by now.
func ownTerminal(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
