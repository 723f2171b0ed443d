package applets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// guide is the daemon as the administrator's documents configure it, with a directory in place of /etc/oidcbox and a
// provider in place of the issuer.
type guide struct {
	*house
	op *issuertest.Server
	// etc is readable for everybody: workers of a web server run as somebody else.
	etc      string
	audience string
}

func newGuide(t *testing.T, audience string) *guide {
	t.Helper()
	etc, err := os.MkdirTemp("", "guide") // above t.TempDir there is a directory that only root enters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(etc) })
	if err := os.Chmod(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	g := &guide{house: bareHouse(t), op: issuertest.Start(t), etc: etc, audience: audience}
	g.put("policy.yaml", "version: 1\nrequire: IDENTIFIED\n")
	return g
}

func (g *guide) put(name, text string) {
	g.tb.Helper()
	if err := os.WriteFile(filepath.Join(g.etc, name), []byte(text), 0o600); err != nil {
		g.tb.Fatal(err)
	}
}

// block is one of a document of docs/admin, by its first line, with this world in it.
func (g *guide) block(document, first string, pairs ...string) string {
	g.tb.Helper()
	b, err := os.ReadFile(filepath.Join("../docs/admin", document))
	if err != nil {
		g.tb.Fatal(err)
	}
	_, text, found := strings.Cut(string(b), "\n"+first+"\n")
	text, _, ends := strings.Cut(text, "\n```")
	if !found || !ends {
		g.tb.Fatalf("%s has no block %q", document, first)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			g.tb.Fatalf("the block %q has no %q", first, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return strings.ReplaceAll(text, "/etc/oidcbox/", g.etc+"/") + "\n"
}

// serve starts the daemon once its configuration was found right.
func (g *guide) serve(config string) {
	g.tb.Helper()
	g.put("verifier.yaml", config+"control: off\naudit: none\n")
	name := filepath.Join(g.etc, "verifier.yaml")
	g.must("verifier", "config", "check", name)
	g.background("verifier", "verifier", "serve", "--config", name)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(g.path("verifier.log"))
		if strings.Contains(string(b), "listening") {
			return
		}
		if time.Now().After(deadline) {
			g.tb.Fatalf("the daemon does not listen:\n%s", b)
		}
	}
}

func (g *guide) token(audience string) string {
	g.tb.Helper()
	return g.op.Tokens("alice", "openid", url.Values{"audience": {audience}}).Access.Expose()
}

// shell runs a piece of shell text of a document.
func (g *guide) shell(script string) string {
	g.tb.Helper()
	ctx, cancel := context.WithTimeout(g.tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu")
	cmd.Dir, cmd.Env, cmd.Stdin = g.etc, g.environ(), strings.NewReader(script)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		g.tb.Fatalf("%v\n%s\n%s", err, script, said.String())
	}
	return string(out)
}

// TestGuideApache: certificate, secret, daemon and Apache, all as docs/admin/verifier.md has them.
func TestGuideApache(t *testing.T) {
	services.Need(t, "apache2", "openssl")
	g := newGuide(t, "https://se.example.org")
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	g.shell(g.block("verifier.md", "# makes the certificate and the secret", "cd /etc/oidcbox\n", "cd "+g.etc+"\n"))
	g.serve(g.block("verifier.md", "# /etc/oidcbox/verifier.yaml, for Apache", "127.0.0.1:8443", address,
		"https://login.example.org/oauth2", g.op.URL))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s%s%s", r.Header["X-Token-Sub"], r.Header["X-Token-Iss"], r.URL.Path)
	}))
	t.Cleanup(backend.Close)
	apache := services.StartApache(t, g.block("verifier.md", "# /etc/apache2/conf-available/verifier.conf",
		"localhost:8443", "localhost:"+port, "http://127.0.0.1:9000/", backend.URL+"/"),
		"auth_openidc", "headers", "proxy", "proxy_http")
	ask := func(token string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, apache.URL+"/f", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Token-Sub", "root")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Sprint(resp.StatusCode)
		}
		return fmt.Sprint(resp.StatusCode, " ", string(b))
	}
	good := g.token(g.audience)
	yes := fmt.Sprintf("200 [%s][%s]/f", subject(t, g, good), g.op.URL)
	for _, c := range []struct{ name, token, want string }{
		{"no_token", "", "401"},
		{"right", good, yes},
		{"right_again", good, yes},
		{"broken", good[:len(good)-8] + "AAAAAAAA", "401"},
		{"for_somebody_else", g.token("https://other.example.org"), "401"},
	} {
		if got := ask(c.token); got != c.want {
			t.Errorf("%s: %s, want %s\n%s", c.name, got, c.want, apache.Log())
		}
	}
}

// subject asks our own command whose token it is.
func subject(t *testing.T, g *guide, token string) string {
	t.Helper()
	g.write("token", token)
	out := g.must("verifier", "token", "--token-file", "token", "--issuer", g.op.URL, "--audience", g.audience)
	_, rest, _ := strings.Cut(out, "accepted: ")
	sub, _, found := strings.Cut(rest, " at ")
	if !found {
		t.Fatalf("verifier token says %q", out)
	}
	return sub
}

// TestGuideIntrospection: docs/admin/introspection.md, asked with its line of curl and its client in Python.
func TestGuideIntrospection(t *testing.T) {
	const python = "/usr/bin/python3"
	services.Need(t, "curl", python)
	g := newGuide(t, "https://wiki.example.org")
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	g.put("wiki.secret", "0123456789abcdef0123456789abcdef\n")
	g.put("policy.yaml", g.block("introspection.md", "# /etc/oidcbox/policy.yaml, for the wiki"))
	g.serve(g.block("introspection.md", "# /etc/oidcbox/verifier.yaml", "unix:/run/oidcbox/verifier.sock",
		"unix:"+g.path("v.sock"), "127.0.0.1:9100", address, "https://login.example.org/oauth2", g.op.URL))
	guide, err := os.ReadFile("../docs/admin/introspection.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(guide), "\n    printf 'user = ")
	line, _, ends := strings.Cut(line, "\n\n")
	if !found || !ends {
		t.Fatal("the line of curl is not there")
	}
	good := g.token(g.audience)
	for token, want := range map[string]string{
		good: `{"active":true`, good + "\n": `{"active":true`,
		good[:len(good)-8] + "AAAAAAAA": `{"active":false}`, g.token("https://x"): `{"active":false}`,
	} {
		g.put("token", token)
		script := "printf 'user = " + strings.ReplaceAll(line, "/run/oidcbox/verifier.sock", g.path("v.sock"))
		if got := g.shell(script); !strings.HasPrefix(got, want) {
			t.Errorf("curl: %s, want %s", got, want)
		}
	}
	client := g.block("introspection.md", "# verifier.py: asks the verifier who sent a request.", "9100", port)
	g.put("verifier.py", client)
	g.put("ask.py", "import sys, verifier\nsaid = verifier.introspect(sys.stdin.read())\nprint(said and said['iss'])\n")
	for token, want := range map[string]string{good: g.op.URL, "x": "None"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, python, "-B", "ask.py")
		cmd.Dir, cmd.Env, cmd.Stdin = g.etc, g.environ(), strings.NewReader(token)
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("Python: %s %v, want %s", out, err, want)
		}
	}
}
