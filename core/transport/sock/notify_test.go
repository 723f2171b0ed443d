//go:build unix

package sock

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	env := func(value string) func(string) string {
		return func(k string) string { return map[string]string{EnvNotify: value}[k] }
	}
	if err := Notify(env(path), "READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := ln.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if err := Notify(env(""), "READY=1"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	for _, bad := range []string{"relative", path + "-none"} {
		if err := Notify(env(bad), "READY=1"); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
