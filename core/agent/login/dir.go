package login

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ErrNoHome is returned by FindDir when the environment names no home directory and no $OIDC_CONFIG_DIR that exists.
var ErrNoHome = errors.New("no home directory is known")

// SystemDir is where packages of the original put their lists for everybody.
const SystemDir = "/etc/oidc-agent"

// CatalogueDirs returns the directories for LoadCatalogue: the person's, or "" where there is none, and SystemDir.
func CatalogueDirs(getenv func(string) string) []string {
	dir, found, err := FindDir(getenv, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	})
	if err != nil || !found {
		dir = ""
	}
	return []string{dir, SystemDir}
}

// FindDir returns the directory of account files: the first that exists of $OIDC_CONFIG_DIR, ~/.config/oidc-agent and
// ~/.oidc-agent. When none does, found is false and dir is where to create it: the first of them whose parent exists.
func FindDir(getenv func(string) string, exists func(path string) bool) (dir string, found bool, err error) {
	var places []string
	if d := getenv("OIDC_CONFIG_DIR"); d != "" {
		places = append(places, d)
	}
	if home := getenv("HOME"); home != "" {
		places = append(places, filepath.Join(home, ".config", "oidc-agent"), filepath.Join(home, ".oidc-agent"))
	}
	for _, p := range places {
		if exists(p) {
			return filepath.Clean(p), true, nil
		}
	}
	for _, p := range places {
		if exists(filepath.Dir(filepath.Clean(p))) {
			return filepath.Clean(p), false, nil
		}
	}
	return "", false, fmt.Errorf("find the directory of account files: %w", ErrNoHome)
}

// List returns the names of the account files in dir, sorted. Files that the original would take for accounts by their
// name, but which are none, are left out. That dir does not exist is no error: there are no accounts.
func List(dir string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list account files: %w", err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list account files: %w", err)
	}
	var names []string
	for _, e := range entries {
		if CheckName(e.Name()) != nil {
			continue
		}
		b, err := readIn(root, e.Name())
		if err != nil {
			continue
		}
		if _, err := ParseFile(b); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// ReadAccount reads the account file of a short name. The error wraps fs.ErrNotExist when there is none, ErrName,
// ErrUnsafe, or what ParseFile reports.
func ReadAccount(dir, name string) (File, error) {
	if err := CheckName(name); err != nil {
		return File{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return File{}, fmt.Errorf("read account %s: %w", name, err)
	}
	defer root.Close()
	b, err := readIn(root, name)
	if err != nil {
		return File{}, fmt.Errorf("read account %s: %w", name, err)
	}
	f, err := ParseFile(b)
	if err != nil {
		return File{}, fmt.Errorf("read account %s: %w", name, err)
	}
	return f, nil
}

// readIn reads a regular file of root. Links are followed as long as they stay inside; a pipe or device is not opened,
// because that could wait for ever.
func readIn(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnsafe, err)
	case !info.Mode().IsRegular():
		return nil, ErrUnsafe
	case info.Size() > MaxFile:
		return nil, ErrTooLarge
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, ErrTooLarge
	}
	return b, nil
}

// WriteAccount writes the account file of a short name: whole or not at all, mode 0600, durable when it returns. The
// directory is made when it is not there, and closed to others when it was open to them. A link of that name is
// replaced, never followed.
func WriteAccount(dir, name string, file []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(file) > MaxFile {
		return fmt.Errorf("write account %s: %w", name, ErrTooLarge)
	}
	if err := privateDir(dir); err != nil {
		return fmt.Errorf("write account %s: %w", name, err)
	}
	if err := replaceFile(dir, name, file); err != nil {
		return fmt.Errorf("write account %s: %w", name, err)
	}
	return nil
}

// RemoveAccount removes the account file of a short name. The error wraps fs.ErrNotExist when there is none.
func RemoveAccount(dir, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("remove account %s: %w", name, err)
	}
	defer root.Close()
	if err := root.Remove(name); err != nil {
		return fmt.Errorf("remove account %s: %w", name, err)
	}
	return nil
}
