package self

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// fakeAgent says what a test wants it to say, at real sockets.
type fakeAgent struct {
	control.Backend
	status control.Status
	logins []control.Login
	reply  func(proto.Request) proto.Reply
}

func (a fakeAgent) Status(context.Context) (control.Status, error)  { return a.status, nil }
func (a fakeAgent) Logins(context.Context) ([]control.Login, error) { return a.logins, nil }

// doctorAt is a doctor in a directory of its own, which is XDG_RUNTIME_DIR and HOME.
func doctorAt(t *testing.T, more map[string]string) (*doctor, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "doc") // short: a socket goes below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	env := map[string]string{"XDG_RUNTIME_DIR": dir, "HOME": dir, "TMPDIR": dir}
	for k, v := range more {
		env[k] = v
	}
	d := patient(nil)
	d.env.Getenv = func(name string) string { return env[name] }
	d.box.version = "2.0"
	return d, dir
}

// serve runs the agent until the test ends.
func (a fakeAgent) serve(t *testing.T, d *doctor) (agentSocket string) {
	t.Helper()
	dir, err := sock.RuntimeDir(d.env.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	agentSocket = filepath.Join(dir, proto.SockName)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	for path, serve := range map[string]func(net.Listener){
		agentSocket: func(ln net.Listener) {
			_ = proto.Serve(ctx, ln, proto.HandlerFunc(func(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
				return a.reply(r)
			}), proto.ServeOptions{})
		},
		filepath.Join(dir, control.SockName): func(ln net.Listener) { _ = control.Serve(ctx, ln, a, nil) },
	} {
		ln, err := sock.Listen(path, sock.ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { serve(ln); done <- struct{}{} }()
	}
	t.Cleanup(func() { cancel(); <-done; <-done })
	return agentSocket
}

func statusReply(version string, pid int) func(proto.Request) proto.Reply {
	return func(r proto.Request) proto.Reply {
		switch r.Type {
		case proto.TypeStatusJSON:
			info := map[string]any{"version": version}
			if pid > 0 {
				info["pid"] = pid
			}
			return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(info)}
		case proto.TypeAccountInfo:
			return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(map[string]any{
				"https://op.example.org": map[string]any{"accounts": map[string]bool{"listed": true}},
			})}
		}
		return proto.Failure(proto.TextUnknownType, "")
	}
}

func TestDoctorAgent(t *testing.T) {
	d, _ := doctorAt(t, nil)
	now := time.Now()
	a := fakeAgent{
		status: control.Status{Version: "1.9", PID: os.Getpid(), Keystore: control.KeystoreOpen},
		reply:  statusReply("1.9", os.Getpid()),
		logins: []control.Login{
			{Name: "sound", Issuer: "https://op.example.org", Loaded: true, Stored: true, RefreshExpires: now.Add(1000 * time.Hour)},
			{Name: "ended", Issuer: "https://op.example.org", NeedsLogin: true, Reason: "invalid_grant: gone"},
			{Name: "expired", Issuer: "https://op.example.org", RefreshExpires: now.Add(-time.Hour)},
			{Name: "expires", Issuer: "https://op.example.org", RefreshExpires: now.Add(time.Hour)},
			{Name: "unsaved", Issuer: "https://op.example.org", Unsaved: true},
			{Name: "behind", Issuer: "https://op.example.org", FileBehind: true},
			{Name: "mytoken", Issuer: "https://op.example.org", MytokenURL: "https://mt.example.org"},
		},
	}
	a.serve(t, d)
	got := d.agents(t.Context())
	for _, want := range []struct {
		sev   severity
		id    string
		about string
	}{
		{sevOK, "agent.control", ""},
		{sevNote, "agent.old-version", ""},
		{sevWarning, "agent.memory", ""},
		{sevOK, "login.login", "sound"},
		{sevFault, "login.ended", "ended"},
		{sevFault, "login.expired", "expired"},
		{sevWarning, "login.expires", "expires"},
		{sevFault, "login.unsaved", "unsaved"},
		{sevWarning, "login.stale-file", "behind"},
	} {
		found := false
		for _, f := range got.list {
			found = found || f.Severity == want.sev && f.ID == want.id && (want.about == "" || f.About == want.about) &&
				(f.Severity == sevOK || f.Next != "")
		}
		if !found {
			t.Errorf("no %s %s %s in %+v", want.sev, want.id, want.about, got.list)
		}
	}
	if len(got.known) != 8 { // the agent's socket tells of one more
		t.Errorf("%+v", got.known)
	}
	if tg := got.known[6].target(); !tg.mytoken || tg.issuer != "https://mt.example.org" {
		t.Errorf("target of a login at a mytoken server: %+v", tg)
	}
	t.Run("some_logins", func(t *testing.T) {
		d.only = []string{"ended"}
		got := d.agents(t.Context())
		known, list := d.chosen(got.known, got.list)
		if len(known) != 1 || has(list, sevWarning, "login.stale-file", "") || !has(list, sevFault, "login.ended", "gone") {
			t.Errorf("%+v %+v", known, list)
		}
	})
}

func TestDoctorOtherAgents(t *testing.T) {
	t.Run("locked", func(t *testing.T) {
		d, _ := doctorAt(t, nil)
		a := fakeAgent{
			status: control.Status{Version: "2.0", PID: os.Getpid(), Locked: true},
			reply:  func(proto.Request) proto.Reply { return proto.Failure(proto.TextLocked, "") },
		}
		a.serve(t, d)
		if got := d.agents(t.Context()); !has(got.list, sevNote, "agent.locked", "locked") {
			t.Errorf("%+v", got.list)
		}
	})
	t.Run("of_an_old_kind", func(t *testing.T) {
		d, _ := doctorAt(t, nil)
		a := fakeAgent{
			status: control.Status{Version: "2.0", PID: os.Getpid()},
			reply:  func(proto.Request) proto.Reply { return proto.Failure(proto.TextUnknownType, "") },
		}
		a.serve(t, d)
		got := d.agents(t.Context())
		if !strings.Contains(printed(got.list), "does not say its version") {
			t.Errorf("%+v", got.list)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		d, dir := doctorAt(t, map[string]string{"OIDC_SOCK": "gone.sock"})
		d.env.Dir = dir
		a := fakeAgent{
			status: control.Status{Version: "2.0", PID: os.Getpid() + 1, Socket: filepath.Join(dir, "other.sock")},
			reply:  statusReply("2.0", os.Getpid()),
		}
		a.serve(t, d)
		got := d.agents(t.Context())
		if !has(got.list, sevFault, "agent.dangling", "no such socket") || !has(got.list, sevWarning, "agent.elsewhere", "do not look") {
			t.Errorf("%+v", got.list)
		}
	})
	t.Run("no_agent_at_all", func(t *testing.T) {
		d, dir := doctorAt(t, nil)
		path := filepath.Join(dir, "talks.sock")
		d.env.Getenv = func(name string) string {
			return map[string]string{"XDG_RUNTIME_DIR": dir, "TMPDIR": dir, "OIDC_SOCK": path}[name]
		}
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9\r\n"))
				_ = c.Close()
			}
		}()
		got := d.agents(t.Context())
		if !has(got.list, sevFault, "agent.answer", "does not answer as one") {
			t.Errorf("%+v", got.list)
		}
	})
	t.Run("not_a_socket", func(t *testing.T) {
		d, dir := doctorAt(t, nil)
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		get := d.env.Getenv
		d.env.Getenv = func(name string) string {
			if name == "OIDC_SOCK" {
				return path
			}
			return get(name)
		}
		if got := d.agents(t.Context()); !has(got.list, sevFault, "agent.socket", "file") {
			t.Errorf("%+v", got.list)
		}
	})
}

func printed(list []finding) string {
	var b strings.Builder
	_ = report{Findings: list}.print(&b)
	return b.String()
}

// TestDoctorKnowsFromFiles: with no agent, the lists of issuers say which providers to ask.
func TestDoctorKnowsFromFiles(t *testing.T) {
	d, dir := doctorAt(t, nil)
	conf := filepath.Join(dir, ".config", "oidc-agent")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `[{"issuer":"https://op.example.org","accounts":["one","two"]}]`
	if err := os.WriteFile(filepath.Join(conf, "issuer.config"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := d.agents(t.Context())
	if len(got.known) != 2 || got.known[1].name != "two" || got.known[1].issuer != "https://op.example.org" {
		t.Errorf("%+v", got.known)
	}
}
