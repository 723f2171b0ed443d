//go:build unix

package proto

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// original starts Debian's oidc-agent and returns its socket.
func original(tb testing.TB) string {
	tb.Helper()
	services.Need(tb, "oidc-agent")
	dir, err := os.MkdirTemp("", "original")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "a")
	cmd := exec.CommandContext(tb.Context(), "oidc-agent", "--console", "-a", path)
	cmd.Env = append(os.Environ(), "HOME="+dir, "OIDC_CONFIG_DIR="+dir)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r, err := (Client{Path: path, Plain: true}).Call(tb.Context(), Request{Type: TypeCheck})
		if err == nil && r.Err() == nil {
			return path
		}
	}
	tb.Fatal("the original does not answer")
	return ""
}

// TestClientOfOriginal asks Debian's agent in both dialects.
func TestClientOfOriginal(t *testing.T) {
	path := original(t)
	for _, plain := range []bool{true, false} {
		c := Client{Path: path, Plain: plain}
		for name, check := range map[string]func(Reply) bool{
			TypeCheck:          func(r Reply) bool { return r.Status == StatusSuccess && r.Error == "" },
			TypeLoadedAccounts: func(r Reply) bool { return string(r.Info) == "[]" && r.Error == "" },
			TypeStatus:         func(r Reply) bool { return r.Info.Text() != "" && r.Error == "" },
			TypeUnlock:         func(r Reply) bool { return r.Error == TextNotLocked },
			TypeRemove:         func(r Reply) bool { return r.Error != "" },
			"nonsense":         func(r Reply) bool { return r.Error == TextUnknownType },
		} {
			r, err := c.Call(t.Context(), Request{Type: name, Account: "absent"})
			if err != nil || !check(r) {
				t.Errorf("plain %v, %s: %+v, info %s, %v", plain, name, r, r.Info, err)
			}
		}
	}
}

// BenchmarkOriginal is BenchmarkCall with Debian's oidc-agent at the other end: the figure to compare with.
func BenchmarkOriginal(b *testing.B) {
	path := original(b)
	for name, plain := range map[string]bool{"plain": true, "encrypted": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := (Client{Path: path, Plain: plain}).Call(b.Context(), Request{Type: TypeLoadedAccounts})
				if err != nil || r.Err() != nil {
					b.Fatal(r.Err(), err)
				}
			}
		})
	}
}
