//go:build unix

package bearer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestPipe: nobody writes into the pipe, and nobody waits for that.
func TestPipe(t *testing.T) {
	for _, named := range []bool{false, true} {
		w := newWorld(t)
		path := w.shared
		if named {
			path = filepath.Join(t.TempDir(), "fifo")
			w.env[EnvFile] = path
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.find(); !errors.Is(err, ErrUntrusted) {
			t.Errorf("got %v", err)
		}
	}
}

// TestSecondName: a file of ours that somebody else has given the name of the token file, which he may do where hard
// links are not protected.
func TestSecondName(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(filepath.Dir(w.shared), "other")
	put(t, other, "eyJprivate", 0o600)
	if err := os.Link(other, w.shared); err != nil {
		t.Skipf("no hard links here: %v", err)
	}
	if _, _, err := w.find(); !errors.Is(err, ErrUntrusted) {
		t.Errorf("got %v", err)
	}
}

func TestForeignOwner(t *testing.T) {
	services.NeedRoot(t)
	w := newWorld(t)
	put(t, w.shared, "foreign", 0o600)
	if err := os.Chown(w.shared, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.find(); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "uid 12345") {
		t.Errorf("got %v", err)
	}
	w.env[EnvFile] = w.shared
	if _, _, err := w.find(); !errors.Is(err, ErrUntrusted) {
		t.Errorf("named: %v", err)
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if err := Store(filepath.Join(dir, "t"), secret.FromString("token")); !errors.Is(err, ErrUntrusted) {
		t.Errorf("stored in a foreign directory: %v", err)
	}
}

// TestStoringChild is the process that TestCrash kills.
func TestStoringChild(t *testing.T) {
	path := os.Getenv("BEARER_TEST_STORE")
	if path == "" {
		t.Skip("run by TestCrash")
	}
	for n := 1; ; n++ {
		token := strings.Repeat(strconv.Itoa(n%10), 8000+n%10)
		if err := Store(path, secret.FromString(token)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrash kills a process that stores one token after the other: what is there is always one of them, whole.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bt_u1")
	if err := Store(path, secret.FromString(strings.Repeat("0", 8000))); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoringChild$")
		cmd.Env = append(os.Environ(), "BEARER_TEST_STORE="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moved := changed(t, path)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if !moved {
			t.Fatal("the child stored nothing")
		}
		whole(t, path)
	}
}

// changed waits until the file has been replaced, reading it all the while.
func changed(t *testing.T, path string) bool {
	t.Helper()
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		whole(t, path)
		if now, err := os.Stat(path); err == nil && !os.SameFile(first, now) {
			return true
		}
	}
	return false
}

func whole(t *testing.T, path string) {
	t.Helper()
	token, err := readFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	s := token.Expose()
	if want := 8000 + int(s[0]-'0'); len(s) != want || strings.Trim(s, s[:1]) != "" {
		t.Fatalf("a token of %d bytes that begins with %q", len(s), s[:1])
	}
}
