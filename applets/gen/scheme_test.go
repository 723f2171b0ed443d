//go:build unix

package gen

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// begun is a code flow that ends elsewhere: what the program said, and where the provider sends the browser.
func (w *world) begun(args ...string) (r result, final string) {
	w.t.Helper()
	w.visit = func(string) {}
	r = w.must(args...)
	link := regexp.MustCompile(regexp.QuoteMeta(w.op.URL) + `/authorize\?\S+`).FindString(r.errOut)
	return r, w.op.Login(link, "alice")
}

// TestBroughtByThePerson: no listener, the address is copied from the browser into a shell that knows no agent.
func TestBroughtByThePerson(t *testing.T) {
	w := newWorld(t)
	r, final := w.begun("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--no-webserver", "--client-id", "native",
		"--redirect-uri", "http://localhost:1", "--scope", "openid")
	if !strings.Contains(r.errOut, "oidc-gen --codeExchange='<url>'") || strings.Contains(r.out, "success") {
		t.Errorf("%s\n%s", r.out, r.errOut)
	}
	if strings.Contains(final, "sock") || strings.Contains(unescaped(t, final), base64.RawURLEncoding.EncodeToString([]byte(w.env["OIDC_SOCK"]))) {
		t.Errorf("the provider was told where the agent is: %s", final)
	}
	delete(w.env, "OIDC_SOCK")
	got := w.must("--codeExchange", final, "--pw-file", "pw")
	if got.out != "success\nThe generated account config was successfully added to oidc-agent. You don't have to run oidc-add.\n"+
		"Everything setup correctly!\n" {
		t.Errorf("standard output:\n%s", got.out)
	}
	if cfg := w.account("demo"); cfg.RefreshToken.Empty() {
		t.Error("no refresh token in the account file")
	}
	if left, err := filepath.Glob(w.path("run/oidcbox/login-*")); err != nil || len(left) != 0 {
		t.Errorf("notes are left: %v", left)
	}
}

func unescaped(t *testing.T, s string) string {
	t.Helper()
	u, err := url.QueryUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestBroughtByTheDesktop: the redirect goes to the scheme that a desktop hands to oidc-gen --codeExchange.
func TestBroughtByTheDesktop(t *testing.T) {
	w := newWorld(t)
	r, final := w.begun("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--no-webserver", "--no-save", "--scope", "openid")
	if !strings.Contains(r.errOut, "custom scheme") || !strings.HasPrefix(final, customScheme+"/redirect?") {
		t.Fatalf("%s\n%s", final, r.errOut)
	}
	delete(w.env, "OIDC_SOCK")
	w.must("--codeExchange", final, "--no-save")
	// Without the scheme it is the person who copies.
	w.env["OIDC_SOCK"] = w.path("run/a.sock")
	_, final = w.begun("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "code", "--no-webserver", "--no-scheme", "--no-save", "--scope", "openid")
	if !strings.HasPrefix(final, "http://localhost:4242") {
		t.Errorf("sent to %s", final)
	}
}

// TestHostileState: the note of another state, and a state that names a socket, lead nowhere they should not.
func TestHostileState(t *testing.T) {
	w := newWorld(t)
	planted := base64.RawURLEncoding.EncodeToString([]byte(w.path("run/planted.sock")))
	for _, state := range []string{"0:0abc:9:" + planted, "../../x", "0:0x:3:AAAA", strings.Repeat("x", 4000)} {
		r := w.run("--codeExchange", "http://localhost/?code=planted&state="+url.QueryEscape(state))
		if r.code == 0 || strings.Contains(r.errOut, "planted") {
			t.Errorf("%.20s: %d %q", state, r.code, r.errOut)
		}
	}
	if got := socketIn("0:0abc:9:" + planted); got != w.path("run/planted.sock") {
		t.Errorf("the original's state: %q", got)
	}
	for _, bad := range []string{"", "a:b:c", "a:b:c:", "a:b:c:%%%", "a:b:c:AGEA", "a:b:c:d:e"} {
		if got := socketIn(bad); got != "" && strings.ContainsRune(got, 0) {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// TestNotesAreSwept: what given-up logins leave goes away.
func TestNotesAreSwept(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"login-old.agent": 2 * time.Hour, "login-old.html": 2 * time.Hour, "login-new.agent": 0, "agent.sock": 2 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	sweepNotes(dir, now)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "agent.sock" || left[1].Name() != "login-new.agent" {
		t.Errorf("%v, %v", left, err)
	}
}

// TestOriginalsRefusals: the lines and codes of oidc-gen 4.2.6.
func TestOriginalsRefusals(t *testing.T) {
	w := newWorld(t)
	iss := w.op.URL
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no_name":        {[]string{"--prompt", "none"}, 1, "No account short name given.\n"},
		"no_issuer":      {[]string{"--prompt", "none", "x"}, 1, "Required argument issuer url not given. Please enable a prompt mode or pass issuer url to the '--issuer' option.\n"},
		"no_scope":       {[]string{"--prompt", "none", "x", "--iss", iss}, 1, "Required argument scope not given. Please enable a prompt mode or pass scope to the '--scope' option.\n"},
		"rename_nothing": {[]string{"--rename", "b", "nope"}, 1, "No account configuration found with that shortname\n"},
		"print_nothing":  {[]string{"-p", "nope"}, 1, "Error: could not open file - file does not exist\n"},
		"delete_nothing": {[]string{"-d", "nope"}, 1, "No account with that shortname configured\n"},
		"again_nothing":  {[]string{"--reauthenticate", "nope"}, 1, "No account configuration found with that shortname\n"},
		"wrong_state":    {[]string{"--state", "0:0abcdefghijklmnopqrstuvwx:0:"}, 1, "Error: wrong state\n"},
		"wrong_redirect": {[]string{"--redirect-uri", "https://foo", "x", "--iss", iss}, 1, "https://foo is not a valid redirect_uri. The redirect uri has to be in the following format: http://localhost:<port>[/*] or edu.kit.data.oidc-agent:/<anything>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := w.runAs(true, c.args...); r.code != c.code || r.errOut != c.want || r.out != "" {
				t.Errorf("exit code %d, %q, %q; want %d and %q", r.code, r.out, r.errOut, c.code, c.want)
			}
		})
	}
	if r := w.run("--port", "70000", "x"); r.code != cli.Usage {
		t.Errorf("port 70000: %d", r.code)
	}
}

// TestAnswersFromAFile: under the original's name questions are answered from what standard input is.
func TestAnswersFromAFile(t *testing.T) {
	w := newWorld(t)
	w.config("issuer.config", `[{"issuer":"`+w.op.URL+`","accounts":["other"]}]`)
	w.stdin = "1\nmax\n"
	r := w.runAs(true, "hackathon", "-w", "device", "--no-save")
	if r.code != 0 || !regexp.MustCompile(`(?m)^\[\d+\] https://wlcg\.cloud\.cnaf\.infn\.it/  WLCG$`).MatchString(r.errOut) {
		t.Fatalf("%d\n%s", r.code, r.errOut)
	}
	last := w.op.Requests()
	scope := ""
	for _, q := range last {
		if strings.HasSuffix(q.Path, "/device_authorization") {
			scope = q.Form.Get("scope")
		}
	}
	if !strings.Contains(scope, "compute.modify") {
		t.Errorf("asked for %q", scope)
	}
	w.stdin = ""
	if r := w.runAs(true, "hackathon", "-w", "device", "--no-save"); r.code != 1 || !strings.Contains(r.errOut, "'--issuer' option") {
		t.Errorf("at the end of the file: %d %q", r.code, r.errOut)
	}
}

// TestAnswersInWindows: with --prompt gui a program with the interface of oidc-prompt asks.
func TestAnswersInWindows(t *testing.T) {
	w := newWorld(t)
	bin := w.path("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$1 $3\" >>" + w.path("asked") + "\ncase \"$1\" in select-other) echo " + w.op.URL + ";; *) echo openid email;; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "oidc-prompt"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"demo", "--prompt", "gui", "-w", "device", "--no-save"}
	if r := w.run(args...); r.code != cli.Usage || !strings.Contains(r.errOut, "--issuer") {
		t.Errorf("without a screen: %d %q", r.code, r.errOut)
	}
	w.env["DISPLAY"], w.env["PATH"] = ":0", bin+":/usr/bin:/bin"
	w.must(append(args, "--no-url-call")...)
	asked, err := os.ReadFile(w.path("asked"))
	if err != nil || !strings.HasPrefix(string(asked), "select-other ") || !strings.Contains(string(asked), "\ninput ") {
		t.Errorf("%q, %v", asked, err)
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
}
