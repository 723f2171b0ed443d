package sshwrap

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// environment is a command's, with a home of its own and these variables.
func environment(t *testing.T, vars map[string]string) (*cli.Env, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": dir, "PATH": os.Getenv("PATH"), "OIDCBOX_AUTOSTART": "0"}
	for k, v := range vars {
		all[k] = v
	}
	var said bytes.Buffer
	env := &cli.Env{
		Name: "oidcbox ssh", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said, Now: time.Now, Dir: dir,
		Getenv: func(name string) string { return all[name] },
		Environ: func() []string {
			var list []string
			for k, v := range all {
				list = append(list, k+"="+v)
			}
			return list
		},
	}
	return env, &said
}

func opened(t *testing.T, o options, vars map[string]string) (*session, *bytes.Buffer) {
	t.Helper()
	env, said := environment(t, vars)
	s, err := o.open(env, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, said
}

// code is the exit code of an error.
func code(err error) int {
	var coded *cli.Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	if err != nil {
		return cli.No
	}
	return cli.OK
}

// TestMayGo: a token goes nowhere in clear text unless somebody says so.
func TestMayGo(t *testing.T) {
	for _, f := range []struct {
		name, base string
		o          options
		compat, ok bool
	}{
		{"https", "https://login.example.org", options{}, false, true},
		{"clear", "http://login.example.org:8080", options{}, false, false},
		{"clear_on_loopback", "http://127.0.0.1:8080", options{}, false, true},
		{"clear_by_a_name_like_loopback", "http://127.0.0.1.example.org:8080", options{}, false, false},
		{"clear_named", "http://login.example.org:8080", options{Endpoint: "http://login.example.org:8080"}, false, true},
		{"clear_allowed", "http://login.example.org:8080", options{Insecure: true}, false, true},
		{"clear_as_the_original", "http://login.example.org:8080", options{}, true, true},
	} {
		t.Run(f.name, func(t *testing.T) {
			s, said := opened(t, f.o, nil)
			s.compat = f.compat
			err := s.mayGo(f.base)
			if (err == nil) != f.ok {
				t.Error(err)
			}
			if loud := strings.Contains(said.String(), "without TLS"); f.ok && loud != strings.Contains(f.base, "example.org:") {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestAgree: what is good for more than a login at that host is not asked of the agent unseen.
func TestAgree(t *testing.T) {
	for _, f := range []struct {
		name, scopes, audience string
		o                      options
		ok                     bool
	}{
		{"who_somebody_is", "openid profile email eduperson_entitlement wlcg.groups:/vo voperson_id", "", options{}, true},
		{"for_the_host", "openid", "https://login.example.org", options{}, true},
		{"for_the_host's_name", "openid", "LOGIN.example.org", options{}, true},
		{"storage", "openid storage.read:/", "", options{}, false},
		{"compute", "openid compute.create", "", options{}, false},
		{"for_another_host", "openid", "https://storage.example.org", options{}, false},
		{"for_a_host_that_looks_alike", "openid", "https://login.example.org.evil.example.net", options{}, false},
		{"for_any", "openid", "https://wlcg.cern.ch/jwt/v1/any", options{}, false},
		{"for_a_client", "openid", "some-client-id", options{}, false},
		{"allowed", "openid storage.read:/", "some-client-id", options{Scope: "openid storage.read:/", Aud: "some-client-id"}, true},
		{"audience_allowed_and_scopes_not", "openid storage.read:/", "x", options{Aud: "x"}, false},
	} {
		t.Run(f.name, func(t *testing.T) {
			s, _ := opened(t, f.o, nil)
			svc := &service{
				Service: sshlogin.Service{Base: "https://login.example.org:8443"},
				target:  target{host: "login.example.org", batch: true},
			}
			err := s.agree(context.Background(), svc, f.scopes, f.audience)
			if (err == nil) != f.ok || err != nil && code(err) != cli.Human {
				t.Fatal(err)
			}
			if f.ok {
				return
			}
			// What was agreed to once is not asked again, for that service and these words.
			path := agreedPath(s.env)
			if err := writeAgreed(path, []wish{{svc.Base, f.scopes, f.audience}}); err != nil {
				t.Fatal(err)
			}
			if err := s.agree(context.Background(), svc, f.scopes, f.audience); err != nil {
				t.Error(err)
			}
			if err := s.agree(context.Background(), svc, f.scopes+" storage.modify:/", f.audience); err == nil {
				t.Error("more than was agreed to")
			}
			if err := os.Chmod(path, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := s.agree(context.Background(), svc, f.scopes, f.audience); err == nil {
				t.Error("believed a file that others can write")
			}
		})
	}
}

func jwt(claims map[string]any) string {
	b, _ := json.Marshal(claims)
	return "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(b) + ".c2ln"
}

// TestTokenSources: the order of the places, and what is passed over.
func TestTokenSources(t *testing.T) {
	good := func(name string) string {
		return jwt(map[string]any{"iss": "https://op.example.org", "exp": time.Now().Add(time.Hour).Unix(), "name": name})
	}
	old := jwt(map[string]any{"iss": "https://op.example.org", "exp": time.Now().Add(-time.Hour).Unix()})
	other := jwt(map[string]any{"iss": "https://other.example.org", "exp": time.Now().Add(time.Hour).Unix()})
	storage := jwt(map[string]any{"iss": "https://op.example.org", "exp": time.Now().Add(time.Hour).Unix(), "aud": "https://se.example.org"})
	data := jwt(map[string]any{"iss": "https://op.example.org", "exp": time.Now().Add(time.Hour).Unix(), "scope": "storage.read:/"})
	svc := &service{
		Service: sshlogin.Service{Base: "https://h"},
		info: sshlogin.Info{Providers: []sshlogin.Provider{
			{Issuer: "https://op.example.org/", Told: true}, {Issuer: "https://second.example.org", Told: true},
		}},
	}
	for _, f := range []struct {
		name  string
		o     options
		vars  map[string]string
		token string
		code  int
		said  string
	}{
		{"option", options{Token: good("a")}, map[string]string{"ACCESS_TOKEN": good("b")}, good("a"), 0, "others on this machine"},
		{"first_variable", options{}, map[string]string{"OIDC": good("b"), "ACCESS_TOKEN": good("a")}, good("a"), 0, ""},
		{"second_variable", options{}, map[string]string{"OIDC": good("b"), "WATTS_TOKEN": good("c")}, good("b"), 0, ""},
		{"expired_is_passed_over", options{}, map[string]string{"ACCESS_TOKEN": old, "BEARER_TOKEN": good("b")}, good("b"), 0, "has expired"},
		{"opaque", options{}, map[string]string{"ACCESS_TOKEN": "opaque"}, "opaque", 0, ""},
		{"discovered", options{}, map[string]string{"BEARER_TOKEN": good("a")}, good("a"), 0, ""},
		{"discovered_of_another_issuer", options{}, map[string]string{"BEARER_TOKEN": other}, "", cli.NotFound, ""},
		{"discovered_for_storage", options{}, map[string]string{"BEARER_TOKEN": storage}, "", cli.NotFound, ""},
		{"discovered_that_opens_data", options{}, map[string]string{"BEARER_TOKEN": data}, "", cli.NotFound, ""},
		{"discovered_opaque", options{}, map[string]string{"BEARER_TOKEN": "opaque"}, "", cli.NotFound, ""},
		{"no_token", options{}, map[string]string{"ACCESS_TOKEN": "two words"}, "", cli.Usage, ""},
		{"nothing", options{}, nil, "", cli.NotFound, ""},
		{"named_login_alone", options{OIDC: "x"}, map[string]string{"ACCESS_TOKEN": good("a")}, "", cli.NotFound, ""},
		{"issuer_the_service_does_not_take", options{Issuer: "third.example.org"}, nil, "", cli.NotFound, ""},
		{"mytoken_that_is_not_there", options{MTFile: "none"}, map[string]string{"ACCESS_TOKEN": good("a")}, "", cli.NotFound, ""},
		{"mytoken_that_is_none", options{MTEnv: "MT"}, map[string]string{"MT": "short"}, "", cli.Usage, ""},
	} {
		t.Run(f.name, func(t *testing.T) {
			s, said := opened(t, f.o, f.vars)
			h, err := s.token(context.Background(), svc)
			if c := code(explain(err)); c != f.code || h.text.Expose() != f.token {
				t.Errorf("%q, exit code %d: %v", h.text.Expose(), c, err)
			}
			if !strings.Contains(said.String(), f.said) {
				t.Errorf("said %q", said)
			}
		})
	}
}

func TestFits(t *testing.T) {
	token := secret.FromString(jwt(map[string]any{"scope": "openid email", "aud": []string{"a", "b"}}))
	for _, f := range []struct {
		scopes, audience string
		ok               bool
	}{{"openid", "", true}, {"openid profile", "", false}, {"openid", "b", true}, {"openid", "c", false}} {
		if err := fits(token, f.scopes, f.audience); (err == nil) != f.ok {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// TestDesk: a secret goes to the ssh of the host it is for, once, and to nobody else.
func TestDesk(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"supported":true,"successful":true}`)
	}))
	defer srv.Close()
	s, _ := opened(t, options{}, nil)
	visitOf := func(host, user string) *visit {
		return &visit{
			service: &service{
				Service: sshlogin.Service{Base: srv.URL, HTTP: s.call}, target: target{host: host, port: "22", release: 902},
			},
			held: held{text: secret.FromString("token of " + host)}, user: user,
		}
	}
	ask := func(d *desk, prompt string, ssh int) sshlogin.Reply {
		return d.answer(context.Background(), sshlogin.Asked{Question: sshlogin.Question{Prompt: prompt}, SSH: ssh})
	}
	a, b := visitOf("a.example.org", "ada"), visitOf("b.example.org", "ada")
	d := newDesk(2, a, b)
	first, second := ask(d, "(ada@A.example.org) Password: ", 1), ask(d, "(ada@b.example.org) Password: ", 2)
	if first.Secret.Len() != 128 || second.Secret.Len() != 128 || first.Secret.Equal(second.Secret) {
		t.Error("each host has its own password")
	}
	for name, r := range map[string]sshlogin.Reply{
		"same process again":   ask(d, "(ada@a.example.org) Password: ", 1),
		"another user":         ask(d, "(root@a.example.org) Password: ", 3),
		"a host on the way":    ask(d, "(ada@jump.example.org) Password: ", 4),
		"nobody named":         ask(d, "Password: ", 5),
		"passphrase of a key":  ask(d, "Enter passphrase for key '/home/ada/.ssh/id': ", 6),
		"question of host key": ask(d, "Are you sure you want to continue connecting (yes/no/[fingerprint])? ", 7),
	} {
		if !r.Secret.Empty() || r.Quiet {
			t.Errorf("%s: answered", name)
		}
	}
	if ask(d, "(ada@a.example.org) Password: ", 8).Secret.Empty() {
		t.Error("a second connection gets its own")
	}
	if !ask(d, "(ada@a.example.org) Password: ", 9).Secret.Empty() {
		t.Error("a third one was not foreseen")
	}
	a.target.batch = true
	if !ask(d, "Enter passphrase: ", 10).Quiet {
		t.Error("in batch mode nobody is asked")
	}
	old := visitOf("old.example.org", "ada")
	old.target.release = 704
	if d := newDesk(1, old); ask(d, "Password: ", 1).Secret.Empty() {
		t.Error("releases before 8.5 name nobody")
	}
	old.target.proxied = true
	if d := newDesk(1, old); !ask(d, "Password: ", 1).Secret.Empty() {
		t.Error("with a host on the way it may be that one's question")
	}
}

func TestParseConfig(t *testing.T) {
	got := parseConfig("host x\nhostname Login.Example.org\nport 2222\nbatchmode yes\nproxyjump none\nhostkeyalias a\n"+
		"userknownhostsfile ~/.ssh/known_hosts /k\nsetenv A=b c\nknownhostscommand /x\n", "/home/ada")
	want := target{
		host: "login.example.org", port: "2222", batch: true, alias: "a", keysCommand: true,
		knownHosts: []string{"/home/ada/.ssh/known_hosts", "/k"}, setEnv: []string{"A=b c"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]release{
		"OpenSSH_9.2p1 Debian-2, OpenSSL": 902, "OpenSSH_8.0p1, OpenSSL": 800, "OpenSSH_10.0p2": 1000, "OpenSSH_for_Windows_9.5p1": 905,
		"Sun_SSH_1.1": 0, "OpenSSH_": 0, "OpenSSH_x.y": 0,
	} {
		if got := parseRelease(text); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// TestConfigLines: what is written into ssh's configuration means one host and one command, whatever was typed.
func TestConfigLines(t *testing.T) {
	run := func(c configCmd) (string, error) {
		env, _ := environment(t, nil)
		var out bytes.Buffer
		env.Stdout = &out
		c.Keep = time.Minute
		err := c.Run(context.Background(), env)
		return out.String(), err
	}
	out, err := run(configCmd{Host: "login", options: options{OIDC: `a'b"c%d`, Scope: "openid $(sh)"}})
	if err != nil || !strings.Contains(out, `'--oidc=a'\\''b\"c%%d' '--scope=openid $(sh)' -- login"`) {
		t.Errorf("%s %v", out, err)
	}
	for _, host := range []string{"*", "a,b", "!a", "me@a", "-oProxyCommand=x", "a b", "a\nHost *", "ssh://a", "a#b", "%h"} {
		if out, err := run(configCmd{Host: host}); code(err) != cli.Usage {
			t.Errorf("%q: %s %v", host, out, err)
		}
	}
	if _, err := run(configCmd{Host: "a", options: options{Token: "x"}}); code(err) != cli.Usage {
		t.Error("a token in a configuration")
	}
}

// TestPlaceOptions: ssh is asked with the options it shares with scp, in its own letters.
func TestPlaceOptions(t *testing.T) {
	p := sshlogin.SCP()
	got := placeOptions(sshlogin.Place{}, p, strings.Fields("-rP 22 -P 2222 -i key -l 100 -oA=b -F f -C"))
	if text := strings.Join(got, " "); text != "-p 22 -p 2222 -i key -o A=b -F f" {
		t.Errorf("%q", text)
	}
	if got := placeOptions(sshlogin.Place{Port: "9"}, p, nil); strings.Join(got, " ") != "-p 9" {
		t.Errorf("%q", got)
	}
}

// TestProgram: under the name of ssh we do not call ourselves.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(own, filepath.Join(dir, "ssh")); err != nil {
		t.Fatal(err)
	}
	env, _ := environment(t, map[string]string{"PATH": dir})
	if path, err := program(env, "ssh"); code(err) != cli.NotFound {
		t.Errorf("%q %v", path, err)
	}
}
