package bearer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Store puts token, and a line end, into the file at path: mode 0600, and whole or not at all. Whoever reads the file
// meanwhile, and whoever dies in the middle of it, finds the old token or the new one. What cannot be sent as a token
// is refused with ErrNotToken, a directory where others could exchange the file with ErrUntrusted. A symbolic link at
// path is replaced, not followed.
func Store(path string, token secret.Text) error {
	if err := store(path, token); err != nil {
		return fmt.Errorf("store the token in %s: %w", path, bare(err))
	}
	return nil
}

func store(path string, token secret.Text) error {
	dir, name := filepath.Split(filepath.Clean(path))
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	// What was opened is looked at: the name may lead elsewhere a moment later.
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if err := checkDir(dir, info); err != nil {
		return err
	}
	temp := "." + name + "." + rand.Text()
	if err := write(root, temp, token); err != nil {
		return errors.Join(err, gone(root.Remove(temp)))
	}
	if err := root.Rename(temp, name); err != nil {
		return errors.Join(bareLink(err), gone(root.Remove(temp)))
	}
	return nil
}

// write makes a new file with the token in it. It is on the disk before it gets its name: after a power cut there is no
// empty file.
func write(root *os.Root, name string, token secret.Text) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = token.Use(func(b []byte) error {
		if !Valid(b) || len(b) > MaxToken {
			return ErrNotToken
		}
		line := append(append(make([]byte, 0, len(b)+1), b...), '\n')
		defer clear(line)
		_, err := f.Write(line)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Remove takes the file away if it holds token still: another program may have put its own there.
func Remove(path string, token secret.Text) error {
	there, err := ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the token in %s: %w", path, err)
	}
	defer there.Wipe()
	if !there.Equal(token) {
		return nil
	}
	if err := gone(os.Remove(path)); err != nil {
		return fmt.Errorf("remove the token in %s: %w", path, bare(err))
	}
	return nil
}

// gone takes it for success that a file is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// bareLink takes the name of the temporary file out of the error of a rename.
func bareLink(err error) error {
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}
