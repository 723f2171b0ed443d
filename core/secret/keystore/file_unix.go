//go:build unix

package keystore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// exposedError is ErrUnfit and fs.ErrPermission: a file with a secret that others can reach.
type exposedError string

func (e exposedError) Error() string { return string(e) + ": " + ErrUnfit.Error() }

func (e exposedError) Is(target error) bool { return target == ErrUnfit || target == fs.ErrPermission }

// checkAccess refuses a file that somebody else owns or may open.
func checkAccess(path string, info fs.FileInfo, deny fs.FileMode) error {
	if mode := info.Mode().Perm(); mode&deny != 0 {
		return exposedError(fmt.Sprintf("%s is open to others (mode %04o)", path, mode))
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return exposedError(fmt.Sprintf("%s belongs to another user (uid %d)", path, st.Uid))
	}
	return nil
}

// syncDir makes a new name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
