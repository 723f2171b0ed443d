package applets

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// restingHouse has a keystore with the login "mine", and no agent that runs.
func restingHouse(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.startAgent()
	h.gen("mine")
	h.endAgent()
	t.Cleanup(func() { _ = h.at(nil, "agent", "--kill").Run() })
	return h
}

// at is a command of this house whose environment names no agent.
func (h *house) at(more []string, args ...string) *exec.Cmd {
	cmd := exec.Command(h.bin, args...)
	cmd.Dir = h.dir
	for _, v := range h.environ() {
		if !strings.HasPrefix(v, "OIDC_SOCK=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, more...)
	return cmd
}

func (h *house) wellKnown() string { return filepath.Join(h.runDir, "oidcbox", "agent.sock") }

// unlocked makes agents unlock the keystore by themselves.
func (h *house) unlocked() []string {
	return []string{"OIDCBOX_PASSPHRASE_FILE=" + h.path("passphrase")}
}

// agents counts processes that listen at the well-known socket, as their command lines say.
func (h *house) agents() int {
	h.tb.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		h.tb.Fatal(err)
	}
	n := 0
	for _, path := range lines {
		b, _ := os.ReadFile(path)
		if bytes.Contains(b, []byte("--background\x00")) && bytes.Contains(b, []byte("--socket-path="+h.wellKnown()+"\x00")) {
			n++
		}
	}
	return n
}

// terminal is a pseudo-terminal whose output is read all the time.
type terminal struct {
	tty  *os.File
	keys *os.File

	mu   sync.Mutex
	said bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{tty: tty, keys: keys}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(term, keys)
	}()
	t.Cleanup(func() { _ = tty.Close(); _ = keys.Close(); <-done })
	return term
}

func (p *terminal) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// TestAutostart: nobody has started an agent, and a token is asked for on a terminal.
func TestAutostart(t *testing.T) {
	h := restingHouse(t)
	term := newTerminal(t)
	cmd := h.at(h.unlocked(), "token", "mine")
	cmd.Stdin, cmd.Stderr = term.tty, term.tty
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "ey") {
		t.Fatalf("%v, %q\n%s", err, out, term.text())
	}
	if n := h.agents(); n != 1 {
		t.Errorf("%d agents", n)
	}
	// A job without a terminal uses the one that is there.
	if out, err := h.at(nil, "token", "mine").Output(); err != nil || !strings.HasPrefix(string(out), "ey") {
		t.Errorf("the next command: %v, %q", err, out)
	}
}

// TestAutostartAsks: the keystore is locked, and the passphrase is typed where the token was asked for.
func TestAutostartAsks(t *testing.T) {
	h := restingHouse(t)
	term := newTerminal(t)
	cmd := h.at(nil, "token", "mine")
	cmd.Stdin, cmd.Stderr = term.tty, term.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asked := func() bool { return strings.Contains(strings.ToLower(term.text()), "passphrase") }
	for end := time.Now().Add(30 * time.Second); !asked(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			t.Fatalf("nobody asked for the passphrase:\n%s", term.text())
		}
	}
	time.Sleep(100 * time.Millisecond) // the question is there before the echo is off
	fmt.Fprintln(term.keys, "correct horse battery staple")
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), "ey") {
		t.Fatalf("%v, %q\n%s", err, out.String(), term.text())
	}
	if strings.Contains(term.text(), "correct horse") {
		t.Error("the passphrase is on the screen")
	}
}

// TestAutostartOnce: many commands find no agent at the same time.
func TestAutostartOnce(t *testing.T) {
	h := restingHouse(t)
	term := newTerminal(t)
	const clients = 100
	var wg sync.WaitGroup
	failed := make(chan string, clients)
	for range clients {
		wg.Go(func() {
			cmd := h.at(h.unlocked(), "token", "mine")
			cmd.Stdin, cmd.Stderr = term.tty, term.tty
			if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "ey") {
				failed <- fmt.Sprintf("%v, %q", err, out)
			}
		})
	}
	wg.Wait()
	close(failed)
	for f := range failed {
		t.Errorf("a client: %s", f)
	}
	if n := h.agents(); n != 1 {
		t.Errorf("%d agents", n)
	}
	if t.Failed() {
		t.Log(term.text())
	}
}

// TestNoAutostart is where nobody wants an agent to appear.
func TestNoAutostart(t *testing.T) {
	h := restingHouse(t)
	term := newTerminal(t)
	for name, tc := range map[string]struct {
		env      []string
		terminal bool
	}{
		"no_terminal":        {},
		"switched_off":       {terminal: true, env: []string{"OIDCBOX_AUTOSTART=0"}},
		"another_is_named":   {terminal: true, env: []string{"OIDC_SOCK=" + h.path("nobody.sock")}},
		"no_keystore":        {terminal: true, env: []string{"XDG_STATE_HOME=" + h.path("elsewhere")}},
		"input_from_a_file":  {terminal: false, env: []string{"OIDCBOX_AUTOSTART=1"}},
		"a_remote_one_named": {terminal: true, env: []string{"OIDC_REMOTE_SOCK=127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := h.at(append(h.unlocked(), tc.env...), "token", "mine")
			if tc.terminal {
				cmd.Stdin, cmd.Stderr = term.tty, term.tty
			}
			if out, err := cmd.Output(); err == nil {
				t.Errorf("there is a token: %q", out)
			}
			if _, err := os.Lstat(h.wellKnown()); err == nil || h.agents() != 0 {
				t.Error("an agent was started")
			}
		})
	}
}
