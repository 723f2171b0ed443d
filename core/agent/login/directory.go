package login

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Directory is the person's directory of account files. It is looked for at each use, because oidc-gen may make it
// while an agent runs.
type Directory struct {
	// Find returns the directory and whether it exists; see FindDir.
	Find func() (dir string, found bool, err error)
}

// DirectoryOf is the Directory that the environment leads to. A relative path in it means one below wd: an agent leaves
// the directory it was started in.
func DirectoryOf(getenv func(string) string, wd string) Directory {
	return Directory{Find: func() (string, bool, error) {
		dir, found, err := FindDir(getenv, func(path string) bool { return isDir(absolute(path, wd)) })
		return absolute(dir, wd), found, err
	}}
}

func absolute(path, wd string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(wd, path)
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// path is the directory, or an error that wraps fs.ErrNotExist.
func (d Directory) path() (string, error) {
	dir, found, err := d.Find()
	if err != nil || !found {
		return "", errors.Join(err, fmt.Errorf("find the directory of account files: %w", fs.ErrNotExist))
	}
	return dir, nil
}

// Has reports whether there is a regular file, or a link to one, that could be the account of this name.
func (d Directory) Has(name string) bool {
	dir, err := d.path()
	if err != nil || CheckName(name) != nil {
		return false
	}
	fi, err := os.Stat(filepath.Join(dir, name))
	return err == nil && fi.Mode().IsRegular()
}

// Read is ReadAccount; the error wraps fs.ErrNotExist when there is no directory.
func (d Directory) Read(name string) (File, error) {
	dir, err := d.path()
	if err != nil {
		return File{}, fmt.Errorf("read account %s: %w", name, err)
	}
	return ReadAccount(dir, name)
}

// Write is WriteAccount. It makes the directory where there is none.
func (d Directory) Write(name string, file []byte) error {
	dir, _, err := d.Find()
	if err != nil {
		return fmt.Errorf("write account %s: %w", name, err)
	}
	return WriteAccount(dir, name, file)
}

// Remove is RemoveAccount; the error wraps fs.ErrNotExist when there is no directory.
func (d Directory) Remove(name string) error {
	dir, err := d.path()
	if err != nil {
		return fmt.Errorf("remove account %s: %w", name, err)
	}
	return RemoveAccount(dir, name)
}

// Names is List; no directory has no names.
func (d Directory) Names() ([]string, error) {
	dir, err := d.path()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return List(dir)
}
