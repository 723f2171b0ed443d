//go:build linux

package add

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
)

// TestMain lets the test binary be oidc-add at a terminal of its own.
func TestMain(m *testing.M) {
	if os.Getenv("ADD_TEST_PLAY") == "" {
		os.Exit(m.Run())
	}
	env := cli.OS()
	env.Upstream = true
	os.Exit(cli.Run(context.Background(), env, cli.Grammar{Name: "oidc-add", Argp: true}, New(), os.Args[1:]))
}

// typed runs ours at a terminal, and types each answer when the words before it have been shown.
func (p *place) typed(line string, answers ...string) (shown string, code int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), os.Args[0], p.args(line)...)
	cmd.Env = append(os.Environ(), "ADD_TEST_PLAY=1")
	for k, v := range p.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	master, slave, err := pty.Open()
	if err != nil {
		p.t.Skip(err)
	}
	defer master.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	_ = slave.Close()
	_ = master.SetReadDeadline(time.Now().Add(20 * time.Second))
	var all bytes.Buffer
	seen, buf := 0, make([]byte, 1024)
	for {
		n, err := master.Read(buf)
		all.Write(buf[:n])
		if len(answers) > 0 && bytes.Contains(all.Bytes()[seen:], []byte(": ")) {
			seen = all.Len()
			_, _ = master.WriteString(answers[0] + "\r")
			answers = answers[1:]
		}
		if err != nil {
			break // EIO: the other end is closed
		}
	}
	_ = cmd.Wait()
	return strings.ReplaceAll(all.String(), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

func TestPrompts(t *testing.T) {
	f := &agentOf{loaded: []string{"one"}}
	p := newPlace(t, f)
	for name, c := range map[string]struct {
		line    string
		answers []string
		want    string
		code    int
	}{
		"right at once": {"demo", []string{demoPassword}, "account config 'demo'", 0},
		"right at last": {"demo", []string{"a", "b", demoPassword}, "wrong password", 0},
		"never right":   {"demo", []string{"a", "b", "c"}, "Error: reached maximum number of tries", 1},
		"lock":          {"-x", []string{"pw", "pw"}, "success", 0},
		"lock, mistyped": {
			"-x", []string{"pw", "wp"}, "Error: Passwords do not match.", 1,
		},
		"unlock":          {"-X", []string{"pw"}, "success", 0},
		"header":          {"-a", nil, "The following account configurations are currently loaded: \none\n", 0},
		"nothing entered": {"-X", []string{""}, "Error: the password is empty", 64},
	} {
		t.Run(name, func(t *testing.T) {
			shown, code := p.typed(c.line, c.answers...)
			if code != c.code || !strings.Contains(shown, c.want) {
				t.Errorf("exit code %d, shown %q", code, shown)
			}
			for _, a := range c.answers {
				if len(a) > 1 && strings.Contains(shown, a) {
					t.Errorf("%q was echoed: %q", a, shown)
				}
			}
		})
	}
}

// TestLoadUnlocks: a login that can only be in the locked keystore is one question away.
func TestLoadUnlocks(t *testing.T) {
	k := &keystoreOf{status: control.Status{Keystore: control.KeystoreLocked}, opens: true}
	p := newPlace(t, &agentOf{})
	withKeystore(t, p, k)
	if shown, code := p.typed("kept", "wrong"); code == 0 || !strings.Contains(shown, "wrong passphrase") {
		t.Errorf("exit code %d, shown %q", code, shown)
	}
	shown, code := p.typed("kept", "geheim")
	if code != 0 || !strings.Contains(shown, "success\n") || strings.Contains(shown, "geheim") {
		t.Errorf("exit code %d, shown %q", code, shown)
	}
	if want := []string{"unlock wrong", "unlock geheim", "load kept"}; !slices.Equal(k.asked, want) {
		t.Errorf("asked %q", k.asked)
	}
}
