package login

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
)

// privateDir makes dir. Below a user's profile it is closed to others by inheritance.
func privateDir(dir string) error { return os.MkdirAll(dir, 0o700) }

// replaceFile writes a temporary file in dir, syncs it and renames it, which replaces what was there.
func replaceFile(dir, name string, b []byte) (err error) {
	temp := filepath.Join(dir, "."+name+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	_, werr := f.Write(b)
	serr := f.Sync()
	if err := errors.Join(werr, serr, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, name))
}
