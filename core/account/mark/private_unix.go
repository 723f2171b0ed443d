//go:build unix

package mark

import (
	"io/fs"
	"os"
	"syscall"
)

// private reports whether nobody but root and us can have written it.
func private(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && info.Mode().Perm()&0o022 == 0
}
