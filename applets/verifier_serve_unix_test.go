//go:build unix

package applets

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

const apiAudience = "https://api.example.org"

// guarded is a verifier daemon in front of nothing: the test plays nginx.
type guarded struct {
	*house
	op     *issuertest.Server
	cmd    *exec.Cmd
	client *http.Client
	base   string
}

// serveConfig is a configuration with what a test puts in at %s: listen, the issuer, and more keys.
const serveConfig = `version: 1
listen: %s
audiences: [` + apiAudience + `]
issuers:
  %s:
policy:
  services:
    api:
      rules:
        - {paths: [/bob], require: {subject: {issuer: %[2]s, sub: nobody}}}
        - {paths: [/write], require: {scope: write}}
      require: IDENTIFIED
services:
  api: {proxy: nginx}
audit: audit.json
%s`

// newGuarded starts a provider and a daemon on a Unix socket.
func newGuarded(t *testing.T, more string) *guarded {
	t.Helper()
	g := &guarded{house: bareHouse(t), op: issuertest.Start(t), base: "http://verifier"}
	g.write("verifier.yaml", fmt.Sprintf(serveConfig, "unix:v.sock", g.op.URL, more))
	g.serve()
	return g
}

func (g *guarded) serve() {
	g.tb.Helper()
	g.cmd = g.background("verifier", "verifier", "serve", "--config", "verifier.yaml")
	g.connect()
}

// connect waits until the daemon answers at its socket.
func (g *guarded) connect() {
	g.tb.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", g.path("v.sock"))
	}
	g.client = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	g.tb.Cleanup(g.client.CloseIdleConnections)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := g.client.Get(g.base + "/health")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			g.tb.Fatalf("the daemon does not answer: %v", err)
		}
	}
}

func (g *guarded) token(scope string) string {
	g.tb.Helper()
	return g.op.Tokens("alice", "openid "+scope, url.Values{"audience": {apiAudience}}).Access.Expose()
}

// ask is the question nginx asks about a request.
func (g *guarded) ask(token, method, uri string) *http.Response {
	g.tb.Helper()
	resp, err := g.try(token, method, uri)
	if err != nil {
		g.tb.Fatal(err)
	}
	return resp
}

func (g *guarded) try(token, method, uri string) (*http.Response, error) {
	req, err := http.NewRequest("GET", g.base+"/forward/nginx", nil)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"X-Original-Method": method, "X-Original-URI": uri, "X-Original-Host": "api.example.org",
	} {
		req.Header.Set(name, value)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := g.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

func (g *guarded) get(path string) (int, string) {
	g.tb.Helper()
	resp, err := g.client.Get(g.base + path)
	if err != nil {
		g.tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.tb.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// awaitLog waits until the daemon has said something.
func (g *guarded) awaitLog(words string) {
	g.tb.Helper()
	g.awaitText("verifier.log", words)
}

func (g *guarded) awaitText(file, words string) string {
	g.tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(g.path(file))
		if strings.Contains(string(b), words) {
			return string(b)
		}
		if time.Now().After(deadline) {
			g.tb.Fatalf("%s does not say %q:\n%s", file, words, b)
		}
	}
}

func (g *guarded) signal(s os.Signal) {
	g.tb.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.tb.Fatal(err)
	}
}

func TestVerifierServe(t *testing.T) {
	g := newGuarded(t, "")
	token := g.token("")
	for _, c := range []struct {
		name, token, method, uri string
		status                   int
		challenge                string
	}{
		{"a good token", token, "GET", "/f?x=secretquery", 200, ""},
		{"none", "", "GET", "/f", 401, `realm="api"`},
		{"one that is broken", token[:len(token)-8] + "AAAAAAAA", "GET", "/f", 401, "invalid_token"},
		{"a missing scope", token, "PUT", "/write/f", 403, "insufficient_scope"},
		{"somebody else's path", token, "GET", "/bob", 403, "insufficient_scope"},
		{"the path of somebody else, disguised", token, "GET", "/x/../bob", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := g.ask(c.token, c.method, c.uri)
			status := resp.StatusCode
			if got := resp.Header.Get("X-Verifier-Status"); got != "" {
				_, _ = fmt.Sscan(got, &status)
			}
			if c.status != 400 && status != c.status {
				t.Errorf("got %d (%v), want %d", status, resp.Header, c.status)
			}
			if c.status == 400 && resp.StatusCode == 200 {
				t.Error("accepted")
			}
			if c.status == 200 && resp.Header.Get("X-Token-Sub") == "" {
				t.Errorf("no identity in %v", resp.Header)
			}
			if got := strings.Join(resp.Header.Values("WWW-Authenticate"), ", "); !strings.Contains(got, c.challenge) {
				t.Errorf("challenge %q has no %q", got, c.challenge)
			}
		})
	}
	g.audited(t, token)
	g.ask(g.op.Tokens("alice", "openid", url.Values{"audience": {"https://elsewhere.example.org"}}).Access.Expose(), "GET", "/e")
	if text := g.awaitText("audit.json", `"path":"/e"`); !strings.Contains(text, `"aud":["https://elsewhere.example.org"]`) ||
		!strings.Contains(text, "token is for another audience, not for "+apiAudience) {
		t.Errorf("the audit does not say why a token was refused:\n%s", text)
	}
	if status, body := g.get("/ready"); status != 200 || !strings.Contains(body, `"issuers_with_keys":1`) {
		t.Errorf("ready: %d %s", status, body)
	}
	status, page := g.get("/metrics")
	for _, want := range []string{
		`oidcbox_verifier_decisions_total{service="api",status="200",error=""} 1`,
		`oidcbox_verifier_decisions_total{service="api",status="403",error="insufficient_scope"} 2`,
		`oidcbox_verifier_decision_seconds_count{service="api"}`,
		`oidcbox_verifier_keys{issuer="` + g.op.URL + `"} 1`, "oidcbox_verifier_cache_tokens 2",
		"oidcbox_verifier_config_last_reload_successful 1",
	} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("metrics (%d) have no %s\n%s", status, want, page)
		}
	}
	for _, path := range []string{"/", "/introspect", "/forward/", "/v1/issuers"} {
		if status, _ := g.get(path); status != 404 {
			t.Errorf("GET %s: %d, want 404", path, status)
		}
	}
}

// audited looks at the audit of TestVerifierServe.
func (g *guarded) audited(t *testing.T, token string) {
	t.Helper()
	text := g.awaitText("audit.json", `"path":"/bob"`)
	for _, secret := range []string{token, "secretquery"} {
		if strings.Contains(text, secret) {
			t.Errorf("the audit has %q", secret)
		}
	}
	type line struct {
		Decision, Service, Method, Path, Iss, Sub, Kid, Reason, Tokid string
		Status                                                        int
	}
	var lines []line
	for raw := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		lines = append(lines, l)
	}
	first := lines[0]
	if first.Decision != "allow" || first.Service != "api" || first.Iss != g.op.URL || first.Sub == "" || first.Kid == "" ||
		first.Path != "/f" || len(first.Tokid) != 16 {
		t.Errorf("first line %+v", first)
	}
	denied := slices.IndexFunc(lines, func(l line) bool { return l.Status == 403 })
	if denied < 0 || lines[denied].Decision != "deny" || !strings.Contains(lines[denied].Reason, "scope write") ||
		lines[denied].Sub != first.Sub {
		t.Errorf("no denial with its reason in %+v", lines)
	}
}

func TestVerifierServe_reload(t *testing.T) {
	g := newGuarded(t, "")
	token := g.token("")
	if s := g.ask(token, "GET", "/f").StatusCode; s != 200 {
		t.Fatalf("before: %d", s)
	}
	good := g.read("verifier.yaml")

	g.write("verifier.yaml", strings.Replace(good, "audiences:", "audience:", 1)+"nonsense: 1\n")
	g.signal(syscall.SIGHUP)
	g.awaitLog("the new configuration is not used")
	log := g.awaitText("verifier.log", "nonsense: unknown key")
	if !strings.Contains(log, "audiences is missing") || !strings.Contains(log, "audience: unknown key") {
		t.Errorf("not every fault is said:\n%s", log)
	}
	if s := g.ask(token, "GET", "/f").StatusCode; s != 200 {
		t.Errorf("the old configuration does not go on: %d", s)
	}
	if _, page := g.get("/metrics"); !strings.Contains(page, "config_last_reload_successful 0") {
		t.Error("the metrics do not tell of the failed reload")
	}

	g.write("verifier.yaml", strings.Replace(good, "require: IDENTIFIED", "require: NOONE", 1))
	if err := os.Rename(g.path("audit.json"), g.path("audit.old")); err != nil {
		t.Fatal(err)
	}
	g.signal(syscall.SIGHUP)
	g.awaitLog("configuration read anew")
	if s := g.ask(token, "GET", "/f").StatusCode; s != 403 {
		t.Errorf("after: %d, want 403", s)
	}
	g.awaitText("audit.json", "NOONE")
	if _, page := g.get("/metrics"); !strings.Contains(page, "oidcbox_verifier_cache_tokens 1") {
		t.Error("the cache of verified tokens did not outlive the reload")
	}

	other := issuertest.Start(t)
	g.write("verifier.yaml", strings.ReplaceAll(good, g.op.URL, other.URL))
	g.signal(syscall.SIGHUP)
	g.awaitText("verifier.log", `"issuers":1`)
	for deadline := time.Now().Add(20 * time.Second); g.ask(token, "GET", "/f").StatusCode != 401; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a token of an issuer that is trusted no more is taken")
		}
	}
	theirs := other.Tokens("alice", "openid", url.Values{"audience": {apiAudience}}).Access.Expose()
	if s := g.ask(theirs, "GET", "/f").StatusCode; s != 200 {
		t.Errorf("the new issuer: %d", s)
	}
}

func (g *guarded) read(name string) string {
	g.tb.Helper()
	b, err := os.ReadFile(g.path(name))
	if err != nil {
		g.tb.Fatal(err)
	}
	return string(b)
}

// TestVerifierServe_stops: no request that was taken is lost when the daemon is told to stop or to read its
// configuration, and it removes its socket.
func TestVerifierServe_stops(t *testing.T) {
	g := newGuarded(t, "")
	token := g.token("")
	var answered, wrong atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				resp, err := g.try(token, "GET", "/f")
				select {
				case <-stop:
					return
				default:
				}
				if err != nil || resp.StatusCode != 200 {
					wrong.Add(1)
					return
				}
				answered.Add(1)
			}
		})
	}
	for range 10 {
		g.signal(syscall.SIGHUP)
		before := answered.Load()
		for deadline := time.Now().Add(20 * time.Second); answered.Load() < before+20 && wrong.Load() == 0 &&
			time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop) // from now on a refused connection is right
	g.signal(syscall.SIGTERM)
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	wg.Wait()
	if wrong.Load() > 0 || answered.Load() < 200 {
		t.Errorf("%d requests answered, %d wrong", answered.Load(), wrong.Load())
	}
	if _, err := os.Lstat(g.path("v.sock")); err == nil {
		t.Error("the socket is left behind")
	}
	if !strings.Contains(g.read("verifier.log"), `"stopped"`) {
		t.Error("it did not say that it stopped")
	}
	if n := strings.Count(g.read("audit.json"), "\n"); int64(n) < answered.Load() {
		t.Errorf("%d lines of audit for %d answers", n, answered.Load())
	}
}

// TestVerifierServe_outage: keys outlive a restart while the issuer is down, and an issuer nobody can reach is a 503.
func TestVerifierServe_outage(t *testing.T) {
	g := newGuarded(t, "keys: {dir: keys}\n")
	token := g.token("")
	if s := g.ask(token, "GET", "/f").StatusCode; s != 200 {
		t.Fatalf("before: %d", s)
	}
	g.signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	g.op.Stop()
	g.serve()
	if s := g.ask(token, "GET", "/f").StatusCode; s != 200 {
		t.Errorf("with keys on disk: %d", s)
	}
	g.signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	if err := os.RemoveAll(g.path("keys")); err != nil {
		t.Fatal(err)
	}
	g.serve()
	resp := g.ask(token, "GET", "/f")
	if resp.StatusCode == 401 || resp.StatusCode == 200 {
		t.Errorf("without keys: %d", resp.StatusCode)
	}
	g.awaitText("audit.json", `"decision":"error","status":503`)
	if status, _ := g.get("/ready"); status != 503 {
		t.Errorf("ready without keys: %d", status)
	}
}

// TestVerifierServe_proxies: over TCP, only who is known may ask, and over TLS nobody listens in.
func TestVerifierServe_proxies(t *testing.T) {
	h := bareHouse(t)
	op := issuertest.Start(t)
	h.write("proxy-secret", "a secret of the proxies\n")
	cert, key := selfSigned(t)
	address := freeAddress(t)
	h.write("verifier.yaml", fmt.Sprintf(serveConfig,
		fmt.Sprintf("{tcp: %q, tls: {cert_file: %s, key_file: %s}}", address, cert, key), op.URL,
		"proxies: {secret_file: proxy-secret}\nintrospection: {socket: api}\n"))
	g := &guarded{house: h, op: op, base: "https://" + address}
	g.cmd = g.background("verifier", "verifier", "serve", "--config", "verifier.yaml")
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(g.client.CloseIdleConnections)
	g.awaitLog("listening")
	for name, c := range map[string]struct {
		secrets []string
		status  int
	}{
		"none":           {nil, 403},
		"a wrong one":    {[]string{"wrong"}, 403},
		"the right one":  {[]string{"a secret of the proxies"}, 401},
		"two":            {[]string{"a secret of the proxies", "a secret of the proxies"}, 403},
		"right, in part": {[]string{"a secret of the proxie"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest("GET", g.base+"/forward/nginx", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Original-Method", "GET")
			req.Header.Set("X-Original-URI", "/f")
			req.Header.Set("X-Original-Host", "api.example.org")
			req.Header["X-Verifier-Secret"] = c.secrets
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got %d, want %d", resp.StatusCode, c.status)
			}
		})
	}
	if status, _ := g.get("/metrics"); status != 403 {
		t.Errorf("metrics without the secret: %d", status)
	}
	if status, _ := g.get("/health"); status != 200 {
		t.Errorf("health: %d", status)
	}
	resp, err := g.client.PostForm(g.base+"/introspect", url.Values{"token": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("introspection that is for Unix sockets only answers %d over TCP", resp.StatusCode)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestVerifierServe_introspection: who may open the socket asks without credentials.
func TestVerifierServe_introspection(t *testing.T) {
	g := newGuarded(t, "introspection: {socket: api}\ncontrol: control.sock\n")
	// By introspection nobody says which path is meant, and a rule about paths then refuses.
	g.write("verifier.yaml", regexp.MustCompile("(?s)      rules:.*      require:").
		ReplaceAllString(g.read("verifier.yaml"), "      require:"))
	g.signal(syscall.SIGHUP)
	g.awaitLog("configuration read anew")
	token := g.token("")
	ask := func(token string) string {
		resp, err := g.client.PostForm(g.base+"/introspect", url.Values{"token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", string(bytes.TrimSpace(b)))
	}
	if got := ask(token); !strings.HasPrefix(got, `200 {"active":true`) || !strings.Contains(got, g.op.URL) {
		t.Errorf("a good token: %s", got)
	}
	if got := ask("x" + token); got != `200 {"active":false}` {
		t.Errorf("a bad token: %s", got)
	}
	if o := g.run("verifier", "issuers", "--control", "control.sock"); o.code != 0 || !strings.Contains(o.out, g.op.URL) {
		t.Errorf("issuers: %+v", o)
	}
	if o := g.run("verifier", "issuers", "drop", g.op.URL, "--control", "control.sock"); o.code != 0 {
		t.Errorf("drop: %+v", o)
	}
	if got := ask(token); !strings.HasPrefix(got, `200 {"active":true`) {
		t.Errorf("after a drop, with the keys fetched anew: %s", got)
	}
	if fi, err := os.Stat(filepath.Join(g.dir, "control.sock")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v", fi, err)
	}
}
