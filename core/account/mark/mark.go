// Package mark keeps, for each account that the provisioner's worker made, one small file that says so: name, uid and
// identity. The file is root's, in a directory that nobody else can enter, so that another process of root, the PAM
// helper, can tell a federated account from a local user's without asking anybody who could have been taken over.
//
// A mark says whose an account is, never that somebody may log in. It is written from the worker's ledger and can be
// written again from it; it is no record of its own.
//
// docs/formats/worker.md has the bytes. Not a public API.
package mark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/oidcbox/oidcbox/core/account/names"
)

// DefaultDir is where marks are when nothing else is configured.
const DefaultDir = "/var/lib/oidcbox/worker/marks"

// maxSize bounds a mark: an identity of full length is below 4 KiB.
const maxSize = 8 << 10

const version = 1

var (
	// ErrNone: there is no mark: the account is not managed.
	ErrNone = errors.New("account is not managed by the provisioner")
	// ErrUnsafe: mark or directory could have been written by somebody else, or it is no mark. It counts for nothing.
	ErrUnsafe = errors.New("mark cannot be trusted")
)

// Mark is what is known of a managed account.
type Mark struct {
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
	ID   string `json:"id"` // the identity as names.Encode writes it
	// Passwd says that the account's GECOS field has the identity too, as the first of its parts: an account without it is
	// another one of the same name, which somebody else made since.
	Passwd bool `json:"passwd,omitempty"`
}

type file struct {
	Version int `json:"v"`
	Mark
}

// Read returns the mark of a local name from dir. The error is ErrNone, also for what is no name at all, or ErrUnsafe.
func Read(dir, name string) (Mark, error) {
	if names.Check(name) != nil {
		return Mark{}, ErrNone
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, ErrNone
	}
	if err != nil {
		return Mark{}, fmt.Errorf("open directory of marks: %w: %w", ErrUnsafe, err)
	}
	defer root.Close()
	if err := checkDir(root); err != nil {
		return Mark{}, err
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, ErrNone
	}
	if err != nil || !private(info) || !info.Mode().IsRegular() {
		return Mark{}, fmt.Errorf("mark of %s: %w", name, ErrUnsafe)
	}
	f, err := root.Open(name)
	if err != nil {
		return Mark{}, fmt.Errorf("open mark of %s: %w: %w", name, ErrUnsafe, err)
	}
	defer f.Close()
	return parse(f, name)
}

func checkDir(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil || !info.IsDir() || !private(info) {
		return fmt.Errorf("directory of marks: %w", ErrUnsafe)
	}
	return nil
}

func parse(r io.Reader, name string) (Mark, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	var m file
	switch {
	case err != nil:
		return Mark{}, fmt.Errorf("read mark of %s: %w: %w", name, ErrUnsafe, err)
	case len(b) > maxSize, json.Unmarshal(b, &m) != nil, m.Version != version, m.Name != name:
		return Mark{}, fmt.Errorf("mark of %s: %w", name, ErrUnsafe)
	}
	if _, _, err := names.Decode(m.ID); err != nil {
		return Mark{}, fmt.Errorf("mark of %s: %w: %w", name, ErrUnsafe, err)
	}
	return m.Mark, nil
}

// Write puts a mark into dir, which is made with mode 0700 if need be, in place of the one that is there. It is on disk
// when Write returns.
func Write(dir string, m Mark) error {
	if err := names.Check(m.Name); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	root, err := open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	b, err := json.Marshal(file{Version: version, Mark: m})
	if err != nil {
		return fmt.Errorf("write mark of %s: %w", m.Name, err)
	}
	// "#" is in no name: what a killed process left behind is no mark, and is written over.
	temp := "#" + m.Name
	if err := writeFile(root, temp, append(b, '\n')); err != nil {
		return fmt.Errorf("write mark of %s: %w", m.Name, err)
	}
	if err := root.Rename(temp, m.Name); err != nil {
		return fmt.Errorf("write mark of %s: %w", m.Name, err)
	}
	return syncDir(root)
}

func open(dir string) (*os.Root, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make directory of marks: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory of marks: %w", err)
	}
	if err := checkDir(root); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return root, nil
}

func writeFile(root *os.Root, name string, b []byte) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("write directory of marks: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write directory of marks: %w", err)
	}
	return nil
}

// Remove takes the mark of a name away. That there is none is no error.
func Remove(dir, name string) error {
	if err := names.Check(name); err != nil {
		return fmt.Errorf("remove mark: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open directory of marks: %w", err)
	}
	defer root.Close()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove mark of %s: %w", name, err)
	}
	return syncDir(root)
}
