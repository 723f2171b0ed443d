package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// outcome is what a run left behind.
type outcome struct {
	code        int
	out, errOut string
}

func runRole(ctx context.Context, dir string, args ...string) outcome {
	var out, errOut bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut, Dir: dir, Now: time.Now,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
	}
	env.Log = cli.NewLog(&errOut, 0)
	code := cli.Run(ctx, env, cli.Grammar{Name: "oidcbox issuer"}, New(), args)
	return outcome{code, out.String(), errOut.String()}
}

// start runs the role until stop is called, and returns its URL.
func start(t *testing.T, dir string, args ...string) (issuer string, stop func() outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() { done <- runRole(ctx, dir, append([]string{"--url-file", "url", "--alg", "ES256"}, args...)...) }()
	t.Cleanup(cancel)
	path := filepath.Join(dir, "url")
	for range 1000 {
		if b, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(b)), func() outcome { cancel(); return <-done }
		}
		select {
		case o := <-done:
			t.Fatalf("ended with %d: %s", o.code, o.errOut)
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatal("no URL file")
	return "", nil
}

func fetch(t *testing.T, u string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServeAndStop(t *testing.T) {
	dir := t.TempDir()
	u, stop := start(t, dir, "--auto-login", "alice")
	var md struct{ Issuer string }
	_, body := fetch(t, u+"/.well-known/openid-configuration")
	if err := json.Unmarshal([]byte(body), &md); err != nil || md.Issuer != u {
		t.Errorf("issuer is %q, want %q (%v)", md.Issuer, u, err)
	}
	if status, _ := fetch(t, u+"/_test/log"); status != http.StatusNotFound {
		t.Errorf("test controls are on: %d", status)
	}
	// A client that says nothing must not hold up the end.
	silent, err := net.Dial("tcp", strings.TrimPrefix(u, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begin := time.Now()
	o := stop()
	if d := time.Since(begin); d > 2*time.Second || o.code != cli.OK {
		t.Errorf("ended after %s with %d: %s", d, o.code, o.errOut)
	}
	for _, part := range []string{u, "alice", "deny", "web-secret"} {
		if !strings.Contains(o.out, part) {
			t.Errorf("standard output lacks %q:\n%s", part, o.out)
		}
	}
}

func TestIssuerWithAnotherURL(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	u, _ := start(t, dir, "--listen", addr, "--issuer", "https://op.example/path/", "--test-controls")
	if u != "https://op.example/path/" {
		t.Errorf("URL file says %q", u)
	}
	_, body := fetch(t, "http://"+addr+"/path/.well-known/openid-configuration")
	if !strings.Contains(body, `"https://op.example/path/token"`) {
		t.Errorf("discovery: %s", body)
	}
	if status, _ := fetch(t, "http://"+addr+"/path/_test/log"); status != http.StatusOK {
		t.Errorf("test controls: %d", status)
	}
}

func TestBadUse(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "open.yaml", "clients:\n- id: x\n  secret: s3cr3t\n")
	write(t, dir, "nosecret.yaml", "clients:\n- id: x\n  secret_file: absent\n")
	write(t, dir, "grants.yaml", "clients:\n- id: x\n  grants: [implicit]\n")
	write(t, dir, "rule.yaml", "exchange:\n- client: x\n")
	write(t, dir, "big.yaml", strings.Repeat("#", 300<<10))
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		says string
	}{
		{"an address of others", []string{"--listen", "192.0.2.1:80"}, "not a loopback address"},
		{"every address", []string{"--listen", ":8080"}, "not a loopback address"},
		{"every address and no URL", []string{"--listen", ":0", "--allow-remote"}, "does not follow"},
		{"no port", []string{"--listen", "127.0.0.1"}, "ADDRESS:PORT"},
		{"an unknown user", []string{"--auto-login", "mallory"}, "mallory"},
		{"an unknown rotation", []string{"--rotation", "sometimes"}, "rotation"},
		{"HMAC", []string{"--alg", "HS256"}, "alg"},
		{"no issuer URL", []string{"--issuer", "op.example"}, "http or https"},
		{"a negative lifetime", []string{"--at-ttl=-1s"}, "negative"},
		{"a secret in the client file", []string{"--client-file", "open.yaml"}, "secret"},
		{"an absent secret", []string{"--client-file", "nosecret.yaml"}, "absent"},
		{"an unknown grant", []string{"--client-file", "grants.yaml"}, "implicit"},
		{"a rule that names nobody", []string{"--client-file", "rule.yaml"}, "exchange policy"},
		{"a client file without end", []string{"--client-file", "big.yaml"}, "longer than"},
		{"no client file", []string{"--client-file", "none.yaml"}, "none.yaml"},
		{"a directory as URL file", []string{"--url-file", "dir"}, "no regular file"},
		{"a certificate without key", []string{"--tls-cert", "rule.yaml"}, "go together"},
		{"no certificate", []string{"--tls-cert", "rule.yaml", "--tls-key", "rule.yaml"}, "PEM"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			o := runRole(ctx, dir, append([]string{"--alg", "ES256"}, c.args...)...)
			if o.code != cli.Usage || !strings.Contains(o.errOut, c.says) {
				t.Errorf("exit code %d, want %d and %q: %s", o.code, cli.Usage, c.says, o.errOut)
			}
			if strings.Contains(o.errOut+o.out, "s3cr3t") {
				t.Error("the secret was printed")
			}
		})
	}
	t.Run("a port in use", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		o := runRole(t.Context(), dir, "--listen", ln.Addr().String(), "--url-file", "url")
		if o.code != cli.No || !strings.Contains(o.errOut, "hint: ") {
			t.Errorf("exit code %d: %s", o.code, o.errOut)
		}
		if _, err := os.Stat(filepath.Join(dir, "url")); err == nil {
			t.Error("a URL was written although nothing listens")
		}
	})
}

func TestClientFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "own.secret", "open sesame\n")
	write(t, dir, "clients.yaml", `
clients:
- id: own
  secret_file: own.secret
  grants: [client_credentials, "urn:ietf:params:oauth:grant-type:token-exchange", refresh_token]
  scope: storage.read:/data
- id: native
  grants: [authorization_code]
  redirect_uris: ["http://localhost/only"]
exchange:
- client: own
  subject_client: own
  scope: storage.create:/
  audiences: ["https://se.example"]
  refresh: true
`)
	u, stop := start(t, dir, "--client-file", "clients.yaml")
	post := func(form url.Values) map[string]any {
		t.Helper()
		form.Set("client_id", "own")
		form.Set("client_secret", "open sesame")
		resp, err := http.PostForm(u+"/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var a map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := post(url.Values{"grant_type": {"client_credentials"}, "scope": {"storage.read:/ storage.read:/data/x"}})
	if a["scope"] != "storage.read:/data/x" {
		t.Errorf("client credentials: %v", a["scope"])
	}
	a = post(url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {a["access_token"].(string)}, "scope": {"storage.create:/ offline_access"},
	})
	if a["scope"] != "storage.create:/ offline_access" || a["refresh_token"] == nil {
		t.Errorf("exchange by the row of the file: %v %v", a["scope"], a["error"])
	}
	o := stop()
	if strings.Contains(o.out+o.errOut, "open sesame") {
		t.Error("the secret of the file was printed")
	}
	if strings.Count(o.out, "native") != 1 {
		t.Errorf("the file's client did not replace the sample:\n%s", o.out)
	}
}

func TestURLFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "url", "old")
	path := filepath.Join(dir, "url")
	if o := runRole(t.Context(), dir, "--listen", "192.0.2.1:80", "--url-file", "url"); o.code != cli.Usage {
		t.Fatalf("exit code %d", o.code)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Error("wrong usage changed the file")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, dir)
	stop()
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there after the end")
	}
	_, stop = start(t, dir)
	write(t, dir, "url", "of another run")
	stop()
	if b, _ := os.ReadFile(path); string(b) != "of another run" {
		t.Error("the file of another run was removed")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
