//go:build unix

package sock

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestLockOfSomebodyElse: in a shared directory anybody can hold the lock, which must not keep us from starting; in our
// own it is another of us, who may be about to bind.
func TestLockOfSomebodyElse(t *testing.T) {
	for _, c := range []struct {
		name string
		mode os.FileMode
		ok   bool
	}{
		{"shared", os.ModeSticky | 0o777, true},
		{"readable", 0o755, true},
		{"ours", 0o700, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "sock")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			other, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			ln, err := Listen(filepath.Join(dir, "x.sock"), ListenOptions{})
			if (err == nil) != c.ok {
				t.Errorf("listen: %v", err)
			}
			if err == nil {
				_ = ln.Close()
			}
		})
	}
}
