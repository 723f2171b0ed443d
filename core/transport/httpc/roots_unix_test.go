//go:build unix

package httpc

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCAFileThatIsNone: a client of the agent names the file; one that nobody writes to must not hold anything up.
func TestCAFileThatIsNone(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "ca.pem")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/tty", t.TempDir()} {
		done := make(chan error, 1)
		go func() {
			_, err := New(Options{CAFile: path})
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, ErrCAFile) {
				t.Errorf("%s: %v", path, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: still waiting", path)
		}
	}
}
