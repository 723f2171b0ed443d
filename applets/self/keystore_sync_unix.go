//go:build unix

package self

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// syncParent makes a new name durable. Some file systems cannot and say so; they need not.
func syncParent(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
