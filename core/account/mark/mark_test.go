//go:build unix

package mark

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const id = "alice@https%3A%2F%2Fop.example%2F"

func TestMark(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "marks")
	if _, err := Read(dir, "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("without a directory: %v", err)
	}
	want := Mark{Name: "alice", UID: 20001, ID: id}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir, "alice"); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	want.UID = 20002
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir, "alice"); err != nil || got != want {
		t.Errorf("written again: %+v, %v", got, err)
	}
	for _, name := range []string{"", "bob", "../marks/alice", ".", "..", "#alice", "alice/", "ALICE", "a\x00"} {
		if m, err := Read(dir, name); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %+v, %v", name, m, err)
		}
	}
	if err := Write(dir, Mark{Name: "../x", UID: 1, ID: id}); err == nil {
		t.Error("a mark outside of the directory")
	}
	if err := errors.Join(Remove(dir, "alice"), Remove(dir, "alice")); err != nil {
		t.Error(err)
	}
	if _, err := Read(dir, "alice"); !errors.Is(err, ErrNone) {
		t.Errorf("removed: %v", err)
	}
}

// TestMarkNotToBeTrusted has files that are no marks of root's, or none at all.
func TestMarkNotToBeTrusted(t *testing.T) {
	good := `{"v":1,"name":"alice","uid":20001,"id":"` + id + `"}` + "\n"
	write := func(text string, mode os.FileMode) func(string) error {
		return func(dir string) error {
			p := filepath.Join(dir, "alice")
			return errors.Join(os.WriteFile(p, []byte(text), mode), os.Chmod(p, mode))
		}
	}
	for name, spoil := range map[string]func(dir string) error{
		"others_may_write":      write(good, 0o602),
		"group_may_write":       write(good, 0o620),
		"empty":                 write("", 0o600),
		"no_json":               write("alice", 0o600),
		"other_version":         write(strings.Replace(good, `"v":1`, `"v":2`, 1), 0o600),
		"other_name":            write(strings.Replace(good, `"alice"`, `"bob"`, 1), 0o600),
		"no_identity":           write(strings.Replace(good, id, "alice", 1), 0o600),
		"huge":                  write(good+strings.Repeat(" ", maxSize), 0o600),
		"directory":             func(dir string) error { return os.Mkdir(filepath.Join(dir, "alice"), 0o700) },
		"link":                  func(dir string) error { return errors.Join(write(good, 0o600)(dir), link(dir)) },
		"directory_for_writers": func(dir string) error { return errors.Join(write(good, 0o600)(dir), os.Chmod(dir, 0o777)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			if m, err := Read(dir, "alice"); !errors.Is(err, ErrUnsafe) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	dir := t.TempDir()
	if err := write(good, 0o600)(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir, "alice"); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "alice"), 12345, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir, "alice"); !errors.Is(err, ErrUnsafe) {
			t.Errorf("of another user: %v", err)
		}
	}
}

func link(dir string) error {
	return errors.Join(os.Rename(filepath.Join(dir, "alice"), filepath.Join(dir, "x")),
		os.Symlink("x", filepath.Join(dir, "alice")))
}

// TestReadWhileWritten never sees half a mark, nor none.
func TestReadWhileWritten(t *testing.T) {
	dir := t.TempDir()
	m := Mark{Name: "alice", UID: 20001, ID: id}
	if err := Write(dir, m); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for range 50 {
			if err := Write(dir, m); err != nil {
				t.Error(err)
			}
		}
	})
	for range 500 {
		if got, err := Read(dir, "alice"); err != nil || got != m {
			t.Errorf("%+v, %v", got, err)
		}
	}
	writer.Wait()
}
