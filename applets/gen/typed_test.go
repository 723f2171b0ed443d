//go:build unix

package gen

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/cli"
)

const childEnv = "OIDCBOX_TEST_GEN"

// TestMain lets the test binary play gen on a terminal.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		env := cli.OS()
		env.Args = os.Args[1:]
		os.Exit(cli.Main(env, cli.Grammar{Name: "gen", Argp: true}, New(), env.Args))
	}
	os.Exit(m.Run())
}

// typed runs gen on a new terminal and types each answer when its question appears. It returns the screen.
func (w *world) typed(args []string, answers ...string) string {
	w.t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		w.t.Skipf("no pseudo terminals here: %v", err)
	}
	defer ptmx.Close()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env, cmd.Dir = []string{childEnv + "=1"}, w.dir
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = tty.Close()
	stop := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	link := regexp.MustCompile(regexp.QuoteMeta(w.issuer) + `/(authorize|device)\?\S+\r`)
	var screen string
	b := make([]byte, 4096)
	for visited := false; ; {
		n, err := ptmx.Read(b)
		screen += string(b[:n])
		if len(answers) > 0 && strings.Contains(screen, answers[0]) {
			if _, err := ptmx.WriteString(answers[1] + "\n"); err != nil {
				w.t.Fatal(err)
			}
			answers = answers[2:]
		}
		if u := link.FindString(screen); u != "" && !visited {
			visited = true
			w.visit(strings.TrimSpace(u))
		}
		if err != nil {
			break // the terminal has gone with the last process on it
		}
	}
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%v\n%s", err, screen)
	}
	return screen
}

// TestTyped is the first time of a person at a terminal: everything is asked for, and the keystore is made.
func TestTyped(t *testing.T) {
	w := newWorld(t)
	screen := w.typed(nil,
		"Enter short name for the account to configure:", "work",
		"Issuer:", w.op.URL+"/",
		"Scopes or 'max' (space separated) [openid profile offline_access]:", "openid offline_access storage.read:/",
		"New passphrase for the keystore", "typed passphrase",
		"The same again:", "typed passphrase",
	)
	if strings.Contains(screen, "typed passphrase") {
		t.Error("the passphrase was echoed")
	}
	if !w.stored("work") {
		t.Fatalf("not in the keystore:\n%s", screen)
	}
	if err := w.token("work"); err != nil {
		t.Error(err)
	}
	// The second time the name is taken, and the answer is no.
	screen = w.typed([]string{"work", "--issuer", w.op.URL, "--scope", "openid"}, "Overwrite? [Yes/no]:", "no")
	if strings.Contains(screen, "success") {
		t.Errorf("replaced all the same:\n%s", screen)
	}
}
