//go:build linux

package token

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const playEnv = "OIDCBOX_TEST_TOKEN"

// TestMain lets the test binary be oidc-token, or "oidcbox token", at a terminal of its own.
func TestMain(m *testing.M) {
	name := os.Getenv(playEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	env := cli.OS()
	env.Args, env.Upstream = os.Args[1:], name == "oidc-token"
	os.Exit(cli.Main(env, cli.Grammar{Name: name, Argp: true, Brief: true}, New(), env.Args))
}

// lasting lives on when the agent closes it.
type lasting struct{ store.Engine }

func (lasting) Close() error { return nil }

// file is a keystore in memory.
type file struct{ eng *memstore.Engine }

func (file) Path() string                                 { return "/home/alice/keystore" }
func (f file) Exists(ctx context.Context) (bool, error)   { return keystore.Exists(ctx, f.eng) }
func (f file) Open(context.Context) (store.Engine, error) { return lasting{f.eng}, nil }
func (f file) Make(context.Context) (store.Engine, error) { return lasting{f.eng}, nil }

// desk is a provider, an agent in this process at real sockets, and terminals.
type desk struct {
	t   *testing.T
	op  *issuertest.Server
	svc *service.Service
	env map[string]string
}

const passphrase = "correct horse battery staple"

// newDesk has the login "wlcg" in a keystore.
func newDesk(t *testing.T, sw service.Switches) *desk {
	t.Helper()
	dir, err := os.MkdirTemp("", "tok") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &desk{t: t, op: issuertest.Start(t, func(o *issuer.Options) { o.DeviceInterval = time.Second })}
	d.env = map[string]string{
		"HOME": dir, "XDG_RUNTIME_DIR": dir, "OIDC_SOCK": filepath.Join(dir, "a.sock"), "PATH": os.Getenv("PATH"),
	}
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.svc, err = service.New(service.Options{
		Vault: v, Memory: memstore.New(), File: file{memstore.New()}, Version: "t", PID: os.Getpid(), Switches: sw,
		HTTP: func(ca string) (*httpc.Client, error) { return httpc.New(httpc.Options{CAFile: ca}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.serve()
	err = d.svc.MakeKeystore(t.Context(), keystore.NewSlot{
		Kind: keystore.KindPassphrase, Passphrase: secret.FromString(passphrase),
		Cost: vault.Params{Time: 1, Memory: 64, Threads: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.save("wlcg")
	return d
}

// save puts a login into the keystore and returns its refresh token.
func (d *desk) save(name string) (rt string) {
	d.t.Helper()
	toks := d.op.Tokens("alice", "openid offline_access storage.read:/")
	rt = toks.Refresh.Expose()
	b, err := json.Marshal(map[string]any{
		"name": name, "issuer_url": d.op.URL, "client_id": "web", "client_secret": "web-secret", "refresh_token": rt,
		"scope": "openid offline_access storage.read:/", "redirect_uris": []string{"http://localhost:0"},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.svc.Admin().SaveLogin(d.t.Context(), secret.New(b)); err != nil {
		d.t.Fatal(err)
	}
	return rt
}

func (d *desk) serve() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	agent, err := sock.Listen(d.env["OIDC_SOCK"], sock.ListenOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	path, err := control.Path(func(k string) string { return d.env[k] })
	if err != nil {
		d.t.Fatal(err)
	}
	admin, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := proto.Serve(ctx, agent, d.svc, proto.ServeOptions{}); err != nil {
			d.t.Error(err)
		}
	})
	wg.Go(func() {
		if err := control.Serve(ctx, admin, d.svc.Admin(), nil); err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(func() { cancel(); wg.Wait(); _ = d.svc.Close(context.Background()) })
}

// step is what is typed, or done, when words have appeared.
type step struct {
	when, typed string
	do          func(screen string)
}

// typed runs a command at a terminal. Standard output goes elsewhere, as in a script.
func (d *desk) typed(name string, args []string, steps ...step) (screen, out string, code int) {
	d.t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		d.t.Skipf("no pseudo terminals here: %v", err)
	}
	defer ptmx.Close()
	_ = pty.Setsize(ptmx, &pty.Winsize{Rows: 60, Cols: 120})
	cmd := exec.Command(os.Args[0], args...)
	var stdout bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &stdout, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{playEnv + "=" + name}
	for k, v := range d.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	_ = tty.Close()
	_ = ptmx.SetReadDeadline(time.Now().Add(60 * time.Second))
	seen, b := 0, make([]byte, 4096)
	for {
		n, err := ptmx.Read(b)
		screen += string(b[:n])
		if len(steps) > 0 && strings.Contains(screen[seen:], steps[0].when) {
			if steps[0].do != nil {
				steps[0].do(screen)
			}
			if steps[0].typed != "" {
				_, _ = ptmx.WriteString(steps[0].typed)
			}
			seen, steps = len(screen), steps[1:]
		}
		if err != nil {
			break // the terminal has gone with the last process on it
		}
	}
	if len(steps) > 0 {
		_ = cmd.Process.Kill()
		d.t.Errorf("%q did not appear", steps[0].when)
	}
	_ = cmd.Wait()
	return strings.ReplaceAll(screen, "\r\n", "\n"), stdout.String(), cmd.ProcessState.ExitCode()
}

func isToken(s string) bool {
	return strings.Count(s, ".") == 2 && strings.Count(s, "\n") == 1 && strings.HasPrefix(s, "ey")
}

func (d *desk) lockKeystore() {
	d.t.Helper()
	if err := d.svc.CloseKeystore(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// TestPassphraseAtTheTerminal: one command on a locked keystore is one question and the token.
func TestPassphraseAtTheTerminal(t *testing.T) {
	for _, name := range []string{"oidcbox token", "oidc-token"} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, service.Switches{})
			d.lockKeystore()
			screen, out, code := d.typed(name, []string{"wlcg"},
				step{when: "Passphrase of the keystore: ", typed: "mistyped\r"},
				step{when: "Passphrase of the keystore: ", typed: passphrase + "\r"})
			if code != 0 || !isToken(out) {
				t.Errorf("exit code %d, %q\n%s", code, out, screen)
			}
			if !strings.Contains(screen, "Wrong passphrase.") || strings.Contains(screen, passphrase) {
				t.Errorf("the screen shows\n%s", screen)
			}
			// Once is enough.
			if screen, out, code := d.typed(name, []string{"wlcg"}); code != 0 || !isToken(out) || strings.Contains(screen, "keystore") {
				t.Errorf("again: exit code %d, %q, %q", code, out, screen)
			}
		})
	}
}

func TestGivingUpAtTheTerminal(t *testing.T) {
	d := newDesk(t, service.Switches{})
	d.lockKeystore()
	for name, want := range map[string]struct {
		code int
		says string
	}{
		"oidc-token":    {1, "Error: user cancelled password prompt\n"},
		"oidcbox token": {cli.Denied, "oidcbox token: user cancelled password prompt\n"},
	} {
		screen, out, code := d.typed(name, []string{"wlcg"}, step{when: "keystore: ", typed: "\x03"})
		if code != want.code || out != "" || !strings.Contains(screen, want.says) {
			t.Errorf("%s: exit code %d, %q, shows %q", name, code, out, screen)
		}
	}
}

// TestLoginAtTheTerminal: the login has ended; the person logs in, and the token is there.
func TestLoginAtTheTerminal(t *testing.T) {
	d := newDesk(t, service.Switches{})
	rt := d.save("ended")
	d.op.Post("/revoke", "web", "web-secret", url.Values{"token": {rt}})
	link := regexp.MustCompile(`http://\S+/device\?\S+`)
	screen, out, code := d.typed("oidcbox token", []string{"ended"}, step{when: "user_code=", do: func(screen string) {
		d.op.ApproveDevice(link.FindString(screen), "alice")
	}})
	if code != 0 || !isToken(out) || !strings.Contains(screen, "The login ended at "+d.op.URL+" has ended") ||
		!strings.Contains(screen, "▀") {
		t.Errorf("exit code %d, %q\n%s", code, out, screen)
	}
	// Saved where it was.
	d.lockKeystore()
	_, out, code = d.typed("oidcbox token", []string{"ended"}, step{when: "keystore: ", typed: passphrase + "\r"})
	if code != 0 || !isToken(out) {
		t.Errorf("after a new unlock: exit code %d, %q", code, out)
	}
}

func TestConfirmAtTheTerminal(t *testing.T) {
	d := newDesk(t, service.Switches{Confirm: true})
	for answer, want := range map[string]int{"yes\r": 0, "no\r": 1, "\x04": 1} {
		screen, out, code := d.typed("oidc-token", []string{"--name", "rucio\x1b[2J", "wlcg"},
			step{when: "yes or no: ", typed: answer})
		if code != want || isToken(out) != (want == 0) {
			t.Errorf("%q: exit code %d, %q\n%s", answer, code, out, screen)
		}
		if strings.Contains(screen, "\x1b") || !strings.Contains(screen, "rucio") {
			t.Errorf("the screen shows %q", screen)
		}
		if answer == "no\r" && !strings.Contains(screen, "Error: "+proto.TextForbidden) {
			t.Errorf("the screen shows %q", screen)
		}
	}
}

// TestForwardedEndCannotAnswer: over a forwarded socket the far end has a terminal as well, and a control socket of its
// own or none. It can ask; it cannot say yes, and does not hang.
func TestForwardedEndCannotAnswer(t *testing.T) {
	d := newDesk(t, service.Switches{Confirm: true})
	far, err := os.MkdirTemp("", "far")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(far)
	d.env["XDG_RUNTIME_DIR"], d.env["HOME"] = far, far
	screen, out, code := d.typed("oidc-token", []string{"wlcg"})
	if code != 1 || out != "" || !strings.Contains(screen, "Error: "+proto.TextForbidden) ||
		strings.Contains(screen, "yes or no") {
		t.Errorf("exit code %d, %q\n%s", code, out, screen)
	}
}

// TestTerminalHangsUp: a terminal that is closed takes its question along; the next one is asked at once.
func TestTerminalHangsUp(t *testing.T) {
	d := newDesk(t, service.Switches{})
	d.lockKeystore()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	cmd := exec.Command(os.Args[0], "wlcg")
	cmd.Stdin, cmd.Stderr = tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{playEnv + "=oidc-token"}
	for k, v := range d.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	_ = ptmx.SetReadDeadline(time.Now().Add(30 * time.Second))
	b, n := make([]byte, 4096), 0
	for !strings.Contains(string(b[:n]), "keystore: ") {
		m, err := ptmx.Read(b[n:])
		if n += m; err != nil {
			t.Fatalf("%v after %q", err, b[:n])
		}
	}
	_ = ptmx.Close()
	_ = cmd.Wait()
	_, out, code := d.typed("oidc-token", []string{"wlcg"}, step{when: "keystore: ", typed: passphrase + "\r"})
	if code != 0 || !isToken(out) {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// TestBackgroundJobIsNotStopped: a job that may not read from the terminal is not asked there; the shell would stop it.
func TestBackgroundJobIsNotStopped(t *testing.T) {
	d := newDesk(t, service.Switches{})
	d.lockKeystore()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	defer ptmx.Close()
	cmd := exec.Command("sh", "-c", `set -m; "$0" wlcg & wait $!; echo "exit code $?"`, os.Args[0])
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{playEnv + "=oidc-token"}
	for k, v := range d.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	_ = ptmx.SetReadDeadline(time.Now().Add(30 * time.Second))
	var screen strings.Builder
	for b := make([]byte, 4096); !strings.Contains(screen.String(), "exit code"); {
		n, err := ptmx.Read(b)
		screen.Write(b[:n])
		if err != nil {
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !strings.Contains(screen.String(), "Error: "+proto.TextNotLoaded) || !strings.Contains(screen.String(), "exit code 1") {
		t.Errorf("the screen shows %q", screen.String())
	}
}

// TestNoTerminalNoQuestion: a script gets the answer at once.
func TestNoTerminalNoQuestion(t *testing.T) {
	d := newDesk(t, service.Switches{})
	d.lockKeystore()
	cmd := exec.Command(os.Args[0], "wlcg")
	cmd.Env = []string{playEnv + "=oidc-token"}
	for k, v := range d.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "Error: "+proto.TextNotLoaded+"\n") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestFalseAgentCannotAsk: a socket that pretends to be the agent's gets no passphrase, not even a prompt for one.
func TestFalseAgentCannotAsk(t *testing.T) {
	d := newDesk(t, service.Switches{})
	d.lockKeystore()
	d.env["OIDC_SOCK"] = serveWith(t, proto.HandlerFunc(func(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
		if r.Relay == "" {
			return proto.Failure("nothing here", "")
		}
		return proto.Reply{Status: proto.StatusFailure, Error: "x", Ask: "MADEUPMADEUPMADEUPMADEUPMA"}
	}))
	screen, _, code := d.typed("oidc-token", []string{"wlcg"})
	if code != 1 || strings.Contains(screen, "keystore") || !strings.Contains(screen, "Error: nothing here") {
		t.Errorf("exit code %d\n%s", code, screen)
	}
}
