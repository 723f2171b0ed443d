//go:build unix

package command

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	t.Setenv("OIDCBOX_TEST_SECRET", "x")
	out, err := Run(t.Context(), Command{
		Path: script(t, `printf '%s|' "$@"; env | sort; pwd`), Args: []string{"a b", "$(id)", "", "-n"}, Env: []string{"A=1"},
	})
	if err != nil || !strings.HasPrefix(out, "a b|$(id)||-n|A=1\nLC_ALL=C\n") || strings.Contains(out, "SECRET") {
		t.Errorf("%q, %v", out, err)
	}
	_, err = Run(t.Context(), Command{Path: script(t, "printf 'no\\033[2J\\n  such' >&2; exit 6")})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 6 || exit.Output != "no?[2J such" {
		t.Errorf("%v", err)
	}
	if out, err := Run(t.Context(), Command{Path: script(t, "exec head -c 1000000 /dev/zero")}); err != nil || len(out) != maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	for _, path := range []string{"true", "", "./true", "/nonexistent", "/etc/passwd"} {
		if _, err := Run(t.Context(), Command{Path: path}); !errors.Is(err, ErrStart) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestTimeout ends the program with what it started.
func TestTimeout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	path := script(t, "sleep 600 & echo $! >"+file+"; wait")
	if _, err := Run(t.Context(), Command{Path: path, Timeout: 300 * time.Millisecond}); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	var pid int
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skip("the program had not begun yet")
	}
	for _, c := range strings.TrimSpace(string(text)) {
		pid = pid*10 + int(c-'0')
	}
	for begin := time.Now(); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("a child of the program still runs")
		}
	}
}

// alive is false for a process that is dead and not yet collected.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
