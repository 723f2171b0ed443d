package verifier

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	pathpkg "path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/forward"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var fuzzNow = time.Unix(1_800_000_000, 0)

// unstarted is a daemon without sockets, keys on disk and background, which says what it has to say to log and audit.
func unstarted(f testing.TB, said io.Writer) *server {
	f.Helper()
	env := &cli.Env{
		Stdout: io.Discard, Stderr: io.Discard, Dir: f.TempDir(), Getenv: func(string) string { return "" },
		Now: func() time.Time { return fuzzNow },
		Log: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	d := &server{env: env, log: env.Log}
	var err error
	if d.hc, err = httpc.New(httpc.Options{Getenv: env.Getenv}); err != nil {
		f.Fatal(err)
	}
	d.keys = provider.NewKeys(d.hc, provider.KeysOptions{Now: env.Now})
	d.numbers = newNumbers(d)
	if d.audit, err = audit.Open("none", auditOptions(env, d.numbers)); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(d.close)
	return d
}

// FuzzConfiguration: any bytes as the file of the daemon give settings, or faults with lines; what has no fault can be
// used, and is for somebody. "config check" would lie otherwise.
func FuzzConfiguration(f *testing.F) {
	d := unstarted(f, io.Discard)
	for name, text := range map[string]string{
		"secret": "sixteen bytes or more", "keys.json": `{"keys":[]}`, "policy.yaml": "version: 1\n",
	} {
		if err := os.WriteFile(filepath.Join(d.env.Dir, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte(example))
	for _, extra := range []string{
		"", "  api: {proxy: nginx, hosts: [a.example], operations: storage, methods: {POST: storage.stage}}\n",
		"  jobs:\nintrospection: {socket: jobs, clients: {c: {secret_file: secret, service: jobs}}}\n",
		"  api: {proxy: envoy, paths: [/a, /b/], headers: {X-A: sub}, resource: https://a.example, scopes: [a]}\n",
		"  api: &a {proxy: caddy}\n  b: *a\nlimits: {connections: 0, token: 1GiB, grace: 1ns}\nmetrics: nowhere\n",
	} {
		f.Add([]byte("version: 1\nlisten: 127.0.0.1:0\naudiences: [a]\n" +
			"issuers: {https://op.example: {keys_file: keys.json, check: userinfo}}\n" +
			"policy: {services: {api: {require: ANYONE}, jobs: {require: NOONE}}}\nservices:\n" + extra))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSettings(filepath.Join(d.env.Dir, "verifier.yaml"), b)
		if err != nil {
			if faults := faultsOf(err); len(faults) == 0 {
				t.Fatalf("no fault, and refused: %v", err)
			}
			return
		}
		if len(s.gate.Audiences) == 0 && slices.ContainsFunc(s.services, func(x forward.Service) bool {
			return len(s.gate.Services[x.Name].Audiences) == 0
		}) {
			t.Fatal("a service without audience")
		}
		if len(s.listen) == 0 || len(s.gate.Issuers) == 0 || s.gate.Policy == nil {
			t.Fatalf("accepted: %+v", s)
		}
		next, err := d.build(s)
		if err != nil {
			t.Fatalf("without faults, and cannot be used: %v", err)
		}
		next.gate.Close()
	})
}

// requestSeeds are requests in which TOKEN stands for a token that may read below /a. The first four are allowed.
func requestSeeds() []string {
	var seeds []string
	for _, proxy := range []string{"nginx", "traefik", "caddy"} {
		original := map[bool]string{true: "X-Original", false: "X-Forwarded"}[proxy == "nginx"]
		seeds = append(seeds, "GET /forward/"+proxy+" HTTP/1.1\r\nHost: v\r\nAuthorization: Bearer TOKEN\r\n"+
			original+"-Method: GET\r\n"+original+"-Host: "+proxy+".example\r\n"+
			original+"-Uri: /a/f?version=1\r\nX-Forwarded-Proto: https\r\n\r\n")
	}
	return append(
		seeds,
		"GET /forward/envoy/a/f HTTP/1.1\r\nHost: envoy.example\r\nAuthorization: Bearer TOKEN\r\n\r\n",
		"COPY /forward/envoy//a/./f%2F HTTP/1.1\r\nHost: envoy.example\r\nAuthorization: DPoP TOKEN\r\n"+
			"DPoP: TOKEN\r\nSource: /a/g\r\n\r\n",
		"POST /introspect HTTP/1.1\r\nHost: v\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Content-Length: 11\r\n\r\ntoken=TOKEN",
		"GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: envoy.example\r\nX_Token_Sub: root\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\n\r\n",
	)
}

// TestRequestSeeds: what the fuzzer starts from is answered as it should be.
func TestRequestSeeds(t *testing.T) {
	d, token := protecting(t, io.Discard)
	for i, seed := range requestSeeds() {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(seed, "TOKEN", string(token)))))
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "127.0.0.1:5"
		rec := httptest.NewRecorder()
		front{d: d}.ServeHTTP(rec, r)
		if yes := rec.Header().Get("X-Token-Sub") == "alice"; yes != (i < 4) || yes && !mayRead(r) {
			t.Errorf("%d for %s", rec.Code, seed)
		}
	}
}

// FuzzRequest sends any bytes as requests of a proxy, and of whoever else reaches the socket. A yes is for that token
// and for reading below /a; nothing that the daemon says, to anybody, holds the token.
func FuzzRequest(f *testing.F) {
	var said bytes.Buffer
	d, token := protecting(f, &said)
	for _, seed := range requestSeeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = bytes.ReplaceAll(raw, []byte("TOKEN"), token)
		for _, unix := range []bool{false, true} {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return
			}
			r.RemoteAddr = "127.0.0.1:5"
			rec := httptest.NewRecorder()
			said.Reset()
			front{d: d, unix: unix}.ServeHTTP(rec, r)
			judgeAnswer(t, rec, token)
			who := rec.Header().Get("X-Token-Sub")
			if who != "" && (who != "alice" || rec.Code != http.StatusOK || !mayRead(r)) {
				t.Fatalf("%d for %q:\n%s", rec.Code, who, raw)
			}
			if bytes.Contains(said.Bytes(), signatureOf(token)) {
				t.Fatalf("the token is in the log: %s", said.String())
			}
		}
	})
}

// mayRead reports whether a request asks to read below /a with the token, by a reading of its own.
func mayRead(r *http.Request) bool {
	if !strings.Contains(r.Header.Get("Authorization"), ".") {
		return false
	}
	method, uri := r.Method, strings.TrimPrefix(r.RequestURI, "/forward/envoy")
	if r.URL.Path == "/forward/nginx" {
		method, uri = r.Header.Get("X-Original-Method"), r.Header.Get("X-Original-Uri")
	} else if !strings.HasPrefix(r.URL.Path, "/forward/envoy") {
		method, uri = r.Header.Get("X-Forwarded-Method"), r.Header.Get("X-Forwarded-Uri")
	}
	raw, _, _ := strings.Cut(uri, "?")
	path, err := url.PathUnescape(raw)
	below := path == "/a" || strings.HasPrefix(pathpkg.Clean(path), "/a/") || pathpkg.Clean(path) == "/a"
	return err == nil && below && slices.Contains([]string{"GET", "HEAD", "OPTIONS", "PROPFIND", "COPY"}, method)
}

// judgeAnswer holds what is true of every answer.
func judgeAnswer(t *testing.T, rec *httptest.ResponseRecorder, token []byte) {
	t.Helper()
	h := rec.Header()
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n\x00") || strings.Contains(v, string(signatureOf(token))) {
				t.Fatalf("header %q: %q", name, v)
			}
		}
	}
	if bytes.Contains(rec.Body.Bytes(), signatureOf(token)) || rec.Body.Len() > 1<<20 {
		t.Fatalf("body: %s", rec.Body)
	}
}

func signatureOf(token []byte) []byte { return token[bytes.LastIndexByte(token, '.')+1:] }

// protecting is a daemon with a service behind every make of proxy, and a token that may read below /a.
func protecting(f testing.TB, said io.Writer) (*server, []byte) {
	f.Helper()
	d := unstarted(f, said)
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		f.Fatal(err)
	}
	set, err := jose.NewKeySet(key.Public()).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.env.Dir, "keys.json"), set, 0o600); err != nil {
		f.Fatal(err)
	}
	text := "version: 1\nlisten: 127.0.0.1:0\naudit: none\naudiences: [" + audience + "]\n" +
		"issuers: {https://op.example: {keys_file: keys.json}}\n" +
		"policy: {issuers: {https://op.example: {areas: [/]}}, services: {"
	services := "services:\n"
	for _, p := range []string{"nginx", "traefik", "caddy", "envoy"} {
		text += p + ": {require: {capability: requested}}, "
		services += fmt.Sprintf("  %s: {proxy: %s, hosts: [%s.example], operations: storage, resource: https://%s.example}\n",
			p, p, p, p)
	}
	text += "}}\n" + services + "introspection: {socket: true}\n"
	s, err := parseSettings(filepath.Join(d.env.Dir, "verifier.yaml"), []byte(text))
	if err != nil {
		f.Fatal(err)
	}
	g, err := d.build(s)
	if err != nil {
		f.Fatal(err)
	}
	d.live.Swap(g)
	claims, err := json.Marshal(map[string]any{
		"iss": "https://op.example", "sub": "alice", "aud": audience, "jti": "1", "wlcg.ver": "1.0",
		"scope": "storage.read:/a", "iat": fuzzNow.Unix() - 10, "nbf": fuzzNow.Unix() - 10, "exp": fuzzNow.Unix() + 600,
	})
	if err != nil {
		f.Fatal(err)
	}
	token, err := key.Sign("JWT", claims)
	if err != nil {
		f.Fatal(err)
	}
	return d, []byte(token.Expose())
}
