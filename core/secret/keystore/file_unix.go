//go:build unix

package keystore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func checkAccess(path string, info fs.FileInfo, deny fs.FileMode) error {
	if mode := info.Mode().Perm(); mode&deny != 0 {
		return fmt.Errorf("%s is open to others (mode %04o): %w", path, mode, ErrUnfit)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user (uid %d): %w", path, st.Uid, ErrUnfit)
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
