//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/oidcbox/oidcbox/store"
)

// checkPrivate wants owner and mode that let nobody else in.
func checkPrivate(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("owner of %s is not known: %w", path, store.ErrUnsafe)
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("%s belongs to uid %d, we are %d: %w", path, st.Uid, uid, store.ErrUnsafe)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, need %04o: %w", path, mode, mode&^0o077, store.ErrUnsafe)
	}
	return nil
}

// syncDir makes a new name in dir durable. Some file systems cannot and say so; they need not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// noSpaceErrors are what the system says when disk, quota or file size limit is reached.
func noSpaceErrors() []error {
	return []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
}
