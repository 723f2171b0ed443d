package sshwrap

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// agentWith starts an agent whose login has scopes, and that gives fewer when it is asked to, unless it is stubborn.
func agentWith(t *testing.T, scopes string, stubborn bool) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "a") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	ln, err := sock.Listen(socket, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() {
		_ = proto.Serve(ctx, ln, proto.HandlerFunc(func(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
			has := scopes
			if r.Scope != "" && !stubborn {
				has = r.Scope
			}
			token := jwt(map[string]any{"iss": "https://op.example.org", "scope": has})
			return proto.Reply{
				Status: "success", AccessToken: secret.FromString(token), Issuer: "https://op.example.org",
				ExpiresAt: time.Now().Add(time.Hour).Unix(),
			}
		}), proto.ServeOptions{})
	})
	return socket
}

// TestScopesNobodyNamed: a host that asks for nothing does not get what the login is good for elsewhere.
func TestScopesNobodyNamed(t *testing.T) {
	for _, f := range []struct {
		name, login, got string
		o                options
		stubborn         bool
		code             int
	}{
		{name: "who_somebody_is", login: "openid profile", got: "openid profile"},
		{name: "storage_too", login: "openid storage.modify:/ profile compute.create", got: "openid profile"},
		{name: "storage_and_an_agent_that_gives_all", login: "openid storage.modify:/", stubborn: true, code: cli.Human},
		{name: "storage_alone", login: "storage.modify:/", code: cli.Human},
		{
			name: "storage_wanted_by_the_person", login: "openid", got: "openid storage.read:/",
			o: options{Scope: "openid storage.read:/"},
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.o.OIDC = "a"
			s, _ := opened(t, f.o, map[string]string{"OIDC_SOCK": agentWith(t, f.login, f.stubborn)})
			h, err := s.token(t.Context(), &service{
				Service: sshlogin.Service{Base: "https://evil.example.net"},
				target:  target{host: "evil.example.net", batch: true},
				info:    sshlogin.Info{Providers: []sshlogin.Provider{{Issuer: "https://op.example.org", Told: true}}},
			})
			if c := code(explain(err)); c != f.code {
				t.Fatalf("exit code %d: %v", c, err)
			}
			if c, _ := readClaims(h.text); c.scope != f.got {
				t.Errorf("the host gets %q, want %q", c.scope, f.got)
			}
		})
	}
}

// TestKnownUnclear: where ssh does not say which file it reads, the host counts as known, and no other key is vouched for.
func TestKnownUnclear(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]bool{
		filepath.Join(dir, "none"): false, "none": false, os.DevNull: false, "__PROGRAMDATA__\\ssh/ssh_known_hosts": false,
		dir: true, filepath.Join(dir, "%k"): true, "${HOME}/known_hosts": true, "b/known_hosts": true, "~ada/known_hosts": true,
	} {
		if got := (target{host: "h", port: "22", knownHosts: []string{file}}).known(); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

// TestDryRunWordsOfAService: people give what is printed to a shell, and scopes, audiences and passwords in it are a
// service's words.
func TestDryRunWordsOfAService(t *testing.T) {
	for name, evil := range map[string]string{
		"substitution": "profile:$(touch${IFS}evil)", "back quotes": "https://h/`touch${IFS}evil`",
		"quotes": `a'$(touch${IFS}evil)';touch${IFS}evil;"$(touch${IFS}evil)"`, "backslash": `a\';touch${IFS}evil;\'`,
		"back quotes in quotes": "'`touch${IFS}evil`'", "plain": "openid",
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{"supported": true, "successful": true, "password": evil})
			}))
			defer srv.Close()
			s, _ := opened(t, options{}, nil)
			for _, h := range []held{
				{text: secret.FromString("t"), asked: proto.Request{Account: "a", Scope: evil}},
				{text: secret.FromString("t"), asked: proto.Request{Account: "a", Audience: evil}},
				{text: secret.FromString("t"), asked: proto.Request{Issuer: evil}},
				{text: secret.FromString(strings.Repeat("t", originalLimit))},
			} {
				v := &visit{service: &service{Service: sshlogin.Service{Base: srv.URL, HTTP: s.call}}, held: h}
				v.info.OwnOTP = true
				word, err := s.secretWord(t.Context(), v)
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				// What "oidc-token" would be told is what it is to be told, and nothing else runs.
				script := `oidc-token() { for a in "$@"; do printf '%s\n' "$a"; done; }; S=` + word + `; printf '%s' "$S"`
				sh := exec.CommandContext(t.Context(), "bash", "-c", script)
				sh.Dir = dir
				out, err := sh.CombinedOutput()
				if err != nil || !strings.Contains(string(out), evil) {
					t.Errorf("%s: %v\n%s", word, err, out)
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("%s runs something", word)
				}
			}
		})
	}
}
