//go:build unix

package audit

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestLog_pipe: a pipe in the place of the file does not keep the daemon from going on or from ending.
func TestLog_pipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	opened := make(chan error, 1)
	go func() { _, err := openFile(name); opened <- err }()
	select {
	case err := <-opened:
		if err == nil {
			t.Error("a pipe that nobody reads was opened")
		}
	case <-time.After(time.Minute):
		t.Error("opening a pipe that nobody reads waits")
	}
}
