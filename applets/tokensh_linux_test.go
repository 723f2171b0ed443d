package applets

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestTokenshInterrupted: Ctrl-C is for the command. What it does with it is its own affair, and the token file is removed
// when it has ended.
func TestTokenshInterrupted(t *testing.T) {
	h := newHouse(t)
	h.startAgent()
	h.gen("mine")
	for name, tc := range map[string]struct {
		script string
		code   int
	}{
		"ends_by_it":      {": > ready; exec sleep 60", 128 + int(syscall.SIGINT)},
		"has_its_own_way": {"trap 'exit 5' INT; : > ready; while :; do sleep 0.05; done", 5},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(h.path("ready"))
			term := newTerminal(t)
			file := h.path("token-" + name)
			cmd := h.at([]string{"OIDC_SOCK=" + h.socket()}, "tokensh", "--oidc", "mine", "-o", file, "--", "sh", "-c", tc.script)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = term.tty, term.tty, term.tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(h.path("ready")); err == nil {
					break
				}
				if time.Now().After(end) {
					_ = cmd.Process.Kill()
					t.Fatalf("the command does not start:\n%s", term.text())
				}
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("while the command runs: %v", err)
			}
			if _, err := term.keys.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tc.code {
				t.Errorf("exit code %d, want %d\n%s", got, tc.code, term.text())
			}
			if left, _ := filepath.Glob(filepath.Join(h.dir, "*token-"+name+"*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
