package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/store"
)

// checkPlace makes sure that nobody but us can reach the file: any user who can open it for reading can hold a lock
// on it and keep the owner from writing. With mayCreate a missing directory is made; a missing file is no fault here.
func checkPlace(path string, mayCreate bool) error {
	dir := filepath.Dir(path)
	if err := checkDir(dir, mayCreate); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mayCreate:
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file (%v): %w", info.Mode(), store.ErrUnsafe)
	}
	return checkPrivate(path, info)
}

// checkDir wants a directory that only we can enter.
func checkDir(dir string, mayCreate bool) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) && mayCreate {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make its directory: %w", translate(err))
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory: %w", dir, store.ErrUnsafe)
	}
	return checkPrivate(dir, info)
}
