//go:build unix

package sock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenPrivate_swapped: a neighbour who may rename what lies above the directory puts a link to an own one in its
// place, over and over. What is opened is private all the same, or nothing is.
func TestOpenPrivate_swapped(t *testing.T) {
	above := t.TempDir()
	at := func(name string) string { return filepath.Join(above, name) }
	for name, mode := range map[string]os.FileMode{"keys": 0o700, "theirs": 0o777} {
		if err := os.Mkdir(at(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Symlink(at("theirs"), at("link"))
			_ = os.Rename(at("keys"), at("away"))
			_ = os.Rename(at("link"), at("keys"))
			_ = os.Remove(at("keys"))
			_ = os.Rename(at("away"), at("keys"))
		}
	}()
	opened := 0
	for range 5000 {
		root, err := OpenPrivate(at("keys"))
		if err != nil {
			continue // was caught, or found nothing
		}
		fi, err := root.Stat(".")
		if opened++; err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("opened: %v, %v", fi.Mode(), err)
		}
		_ = root.Close()
	}
	close(stop)
	<-ended
	if opened == 0 {
		t.Error("it was never opened: nothing was shown")
	}
	if _, err := OpenPrivate(at("theirs")); !errors.Is(err, ErrForeign) {
		t.Errorf("an open directory: %v", err)
	}
}
