package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// RuntimeDir returns the directory for sockets of this person's daemons: $XDG_RUNTIME_DIR/oidcbox, else
// /tmp/oidcbox-<uid>. It is made with mode 0700 if need be; one that belongs to somebody else or that others may enter
// is ErrForeign.
func RuntimeDir(getenv func(string) string) (string, error) {
	dir := RuntimePath(getenv)
	if err := MakePrivate(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// MakePrivate makes a directory, for sockets or files, with mode 0700 if it is not there. One that belongs to somebody
// else or that others may enter is ErrForeign.
func MakePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make private directory: %w", err)
	}
	// Lstat: in /tmp somebody else may have put a link there.
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at private directory: %w", err)
	}
	return privateDir(dir, fi)
}

// OpenPrivate is MakePrivate that opens the directory. What is returned was looked at itself: whoever may rename things
// above it cannot put another one in its place in between.
func OpenPrivate(dir string) (*os.Root, error) {
	if err := MakePrivate(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open private directory: %w", err)
	}
	fi, err := root.Stat(".")
	if err == nil {
		err = privateDir(dir, fi)
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// RuntimePath is the name RuntimeDir gives, without looking at it.
func RuntimePath(getenv func(string) string) string {
	if base := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(base) {
		return filepath.Join(base, "oidcbox")
	}
	return filepath.Join(tempDir(getenv), "oidcbox-"+strconv.Itoa(os.Getuid()))
}
