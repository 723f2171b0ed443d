//go:build unix

package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tempDir is fixed: two shells with different TMPDIR have to meet in one place.
func tempDir(func(string) string) string { return "/tmp" }

// owner returns the uid that owns the file.
func owner(fi fs.FileInfo) (uint32, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

func me() uint32 { return uint32(os.Geteuid()) }

// ownedBy reports whether the file belongs to somebody whom trust accepts.
func ownedBy(fi fs.FileInfo, trust func(uid uint32) bool) bool {
	uid, ok := owner(fi)
	return ok && trust(uid)
}

// privateDir accepts a directory that is ours and closed to everybody else.
func privateDir(dir string, fi fs.FileInfo) error {
	uid, ok := owner(fi)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("%s is no directory: %w", dir, ErrForeign)
	case !ok || uid != me():
		return fmt.Errorf("%s belongs to uid %d: %w", dir, uid, ErrForeign)
	case fi.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others (mode %04o): %w", dir, fi.Mode().Perm(), ErrForeign)
	}
	return nil
}

// safeDir accepts a directory in which nobody but us and root can replace our files: ours or root's, and writable for
// others only when it is sticky, as /tmp is.
func safeDir(dir string) error { return safeDirOf(dir, trusted) }

// safeDirOf is safeDir with the owners that trust accepts in our place.
func safeDirOf(dir string, trust func(uid uint32) bool) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	switch {
	case !fi.IsDir():
		return fmt.Errorf("%s is no directory: %w", dir, ErrForeign)
	case !ownedBy(fi, trust):
		uid, _ := owner(fi)
		return fmt.Errorf("%s belongs to uid %d: %w", dir, uid, ErrForeign)
	case fi.Mode().Perm()&0o022 != 0 && fi.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("others can write to %s (mode %04o): %w", dir, fi.Mode().Perm(), ErrForeign)
	}
	return nil
}

// checkSocket refuses a socket that somebody else owns or could have put there.
func checkSocket(path string, trust func(uid uint32) bool) error {
	fi, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return fmt.Errorf("socket %s: %w", path, ErrNobody)
		}
		return fmt.Errorf("look at socket: %w", err)
	}
	if fi.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s: %w", path, ErrNotSocket)
	}
	if !ownedBy(fi, trust) {
		uid, _ := owner(fi)
		return fmt.Errorf("socket %s belongs to uid %d: %w", path, uid, ErrForeign)
	}
	if err := safeDirOf(filepath.Dir(path), trust); err != nil {
		return fmt.Errorf("directory of socket %s: %w", path, err)
	}
	return nil
}
