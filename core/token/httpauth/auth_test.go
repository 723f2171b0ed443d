package httpauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

const (
	testIssuer   = "https://op.example.org"
	testAudience = "https://api.example.org"
	testPolicy   = `
version: 1
issuers: {"https://op.example.org": {areas: [/store]}}
services:
  api:
    rules:
      - {paths: [/admin], require: {subject: {issuer: "https://op.example.org", sub: bob}}}
      - {paths: [/write], require: {scope: write}}
      - {paths: [/store], require: {capability: requested}}
    require: ANYONE
`
)

var now = time.Unix(1_800_000_000, 0)

// testKey makes one key for all tests.
var testKey = sync.OnceValue(func() *jose.PrivateKey {
	k, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		panic(err)
	}
	return k
})

// token signs a good token with some claims changed.
func token(tb testing.TB, changed map[string]any) string {
	tb.Helper()
	c := map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(),
		"client_id": "c", "jti": "j", "scope": "read",
	}
	maps.Copy(c, changed)
	payload, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := testKey().Sign("at+jwt", payload)
	if err != nil {
		tb.Fatal(err)
	}
	return signed.Expose()
}

func newGate(tb testing.TB) *gate.Gate {
	tb.Helper()
	p, err := policy.Parse("policy.yaml", []byte(testPolicy))
	if err != nil {
		tb.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: testIssuer, Keys: jose.NewKeySet(testKey().Public())}}},
		Audiences: []string{testAudience},
		Policy:    p,
	}, gate.Options{Now: func() time.Time { return now }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(g.Close)
	return g
}

// greet answers who is asking.
func greet(w http.ResponseWriter, r *http.Request) {
	who, ok := FromContext(r.Context())
	_, _ = fmt.Fprintf(w, "%t %s at %s", ok, who.Subject, who.Issuer)
}

func TestRequire(t *testing.T) {
	auth := New(newGate(t), Options{
		Service: "api", Ways: Ways{Query: true},
		Operation: func(r *http.Request) string {
			return map[string]string{"GET": "storage.read"}[r.Method]
		},
	})
	h := auth.Require(http.HandlerFunc(greet))
	good := token(t, nil)
	cases := []struct {
		name   string
		send   request
		status int
		code   string // of the challenge
	}{
		{"no token", request{}, 401, ""},
		{"a good token", request{headers: []string{"Authorization", "Bearer " + good}}, 200, ""},
		{"a good token in the query", request{target: "/?access_token=" + good}, 200, ""},
		{"a good token in a form", request{kind: form, body: "access_token=" + good}, 200, ""},
		{"two good tokens", request{
			target:  "/?access_token=" + good,
			headers: []string{"Authorization", "Bearer " + good},
		}, 400, "invalid_request"},
		{"an expired token", request{headers: []string{"Authorization", "Bearer " + token(t, map[string]any{
			"exp": now.Unix() - 3600, "iat": now.Unix() - 7200,
		})}}, 401, "invalid_token"},
		{"somebody else's", request{headers: []string{"Authorization", "Bearer " + token(t, map[string]any{
			"aud": "https://other.example.org",
		})}}, 401, "invalid_token"},
		{"an issuer nobody trusts", request{headers: []string{"Authorization", "Bearer " + token(t, map[string]any{
			"iss": "https://evil.example.org",
		})}}, 401, "invalid_token"},
		{"no JWT", request{headers: []string{"Authorization", "Bearer opaque"}}, 401, "invalid_token"},
		{
			"a path for others",
			request{target: "/admin/x", headers: []string{"Authorization", "Bearer " + good}},
			403,
			"insufficient_scope",
		},
		{"a path for others, by a detour", request{
			target:  "/x/../admin",
			headers: []string{"Authorization", "Bearer " + good},
		}, 403, "insufficient_scope"},
		{
			"a path for others, encoded",
			request{target: "/%61dmin", headers: []string{"Authorization", "Bearer " + good}},
			403, "insufficient_scope",
		},
		{"a path that cannot be judged", request{
			target:  "/x%2fadmin",
			headers: []string{"Authorization", "Bearer " + good},
		}, 403, "insufficient_scope"},
		{
			"a scope that is missing",
			request{target: "/write", headers: []string{"Authorization", "Bearer " + good}},
			403,
			"insufficient_scope",
		},
		{"an operation that is not named", request{
			target:  "/store/f",
			headers: []string{"Authorization", "Bearer " + good},
		}, 403, "insufficient_scope"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, c.send.make())
			challenge := w.Header().Get("WWW-Authenticate")
			if w.Code != c.status {
				t.Errorf("status %d, want %d (%s)", w.Code, c.status, w.Body)
			}
			if c.code != "" && !strings.Contains(challenge, `error="`+c.code+`"`) {
				t.Errorf("challenge %q, want %s", challenge, c.code)
			}
			if c.code == "" && strings.Contains(challenge, "error") {
				t.Errorf("challenge %q has an error", challenge)
			}
			if got := w.Body.String(); (c.status == 200) != (got == "true alice at "+testIssuer) {
				t.Errorf("the handler said %q", got)
			}
			if cached := w.Header().Get("Cache-Control") == ""; cached && len(c.send.headers) == 0 {
				t.Error("caches may keep an answer to a token they do not see")
			}
		})
	}
}

// TestRequireTellsScopes: with 403 the client learns which scope it lacks.
func TestRequireTellsScopes(t *testing.T) {
	w := httptest.NewRecorder()
	New(newGate(t), Options{Service: "api"}).Require(http.HandlerFunc(greet)).
		ServeHTTP(w, request{target: "/write", headers: auth("Bearer " + token(t, nil))}.make())
	if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, `scope="write"`) {
		t.Errorf("challenge %q", got)
	}
}

// TestRequireCapability: the operation reaches the policy, with the path.
func TestRequireCapability(t *testing.T) {
	signed, err := testKey().Sign("", mustJSON(t, map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(), "jti": "j",
		"wlcg.ver": "1.0", "scope": "storage.read:/alice",
	}))
	if err != nil {
		t.Fatal(err)
	}
	h := New(newGate(t), Options{Service: "api", Operation: func(*http.Request) string { return "storage.read" }}).
		Require(http.HandlerFunc(greet))
	for path, want := range map[string]int{"/store/alice/f": 200, "/store/alicia/f": 403, "/store": 403} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request{method: "GET", target: path, headers: auth("Bearer " + signed.Expose())}.make())
		if w.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// stub is a gate that answers what a test wants.
type stub struct {
	err  error
	seen *gate.Presented
	told *[]*gate.Refusal
}

func (s stub) Decide(_ context.Context, p gate.Presented, _ policy.Request) (gate.Outcome, error) {
	if s.seen != nil {
		p.Token = p.Token.Clone()
		*s.seen = p
	}
	return gate.Outcome{}, s.err
}

func (s stub) Refused(_ policy.Request, r *gate.Refusal) *gate.Refusal {
	if s.told != nil {
		*s.told = append(*s.told, r)
	}
	return r
}

// TestRequireTrouble: what is not the client's fault is not blamed on its token, and not explained to it.
func TestRequireTrouble(t *testing.T) {
	var log bytes.Buffer
	for name, c := range map[string]struct {
		err    error
		status int
		retry  string
	}{
		"an issuer that is down":                 {down, 503, "2"},
		"an error that nobody made to a refusal": {errors.New("disk is full"), 500, ""},
		"a context that has ended":               {context.DeadlineExceeded, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			a := New(stub{err: c.err}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			w := httptest.NewRecorder()
			a.Require(http.HandlerFunc(greet)).ServeHTTP(w, request{headers: auth("Bearer s3cr3t")}.make())
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retry || w.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if strings.Contains(w.Body.String(), "disk") || strings.Contains(w.Body.String(), "op.example") {
				t.Errorf("the client is told too much: %s", w.Body)
			}
			if got := log.String(); !strings.Contains(got, "request refused") || strings.Contains(got, "s3cr3t") {
				t.Errorf("logged %q", got)
			}
		})
	}
}

// TestRefusedBeforeTheGate: the gate's observer hears of requests that never had a token to judge.
func TestRefusedBeforeTheGate(t *testing.T) {
	var told []*gate.Refusal
	h := New(stub{told: &told}, Options{}).Require(http.HandlerFunc(greet))
	h.ServeHTTP(httptest.NewRecorder(), request{}.make())
	h.ServeHTTP(httptest.NewRecorder(), request{headers: auth("Bearer a", "Bearer b")}.make())
	if len(told) != 2 || told[0].Status != 401 || told[1].Status != 400 {
		t.Errorf("the observer was told of %d: %v", len(told), told)
	}
}

// TestTokenIsWiped once the gate has judged it, also when it said no.
func TestTokenIsWiped(t *testing.T) {
	for _, err := range []error{nil, invalid} {
		var kept gate.Presented
		g := keeper{&kept, err}
		New(g, Options{}).Require(http.HandlerFunc(greet)).
			ServeHTTP(httptest.NewRecorder(), request{headers: auth("Bearer abc")}.make())
		if kept.Token.Len() != 0 {
			t.Errorf("the token is still there after %v", err)
		}
	}
}

type keeper struct {
	kept *gate.Presented
	err  error
}

func (k keeper) Decide(_ context.Context, p gate.Presented, _ policy.Request) (gate.Outcome, error) {
	*k.kept = p
	return gate.Outcome{}, k.err
}

func (k keeper) Refused(_ policy.Request, r *gate.Refusal) *gate.Refusal { return r }

func TestPreflight(t *testing.T) {
	preflight := []string{"Origin", "https://app.example.org", "Access-Control-Request-Method", "PUT"}
	cases := []struct {
		name   string
		on     bool
		send   request
		status int
	}{
		{"off", false, request{method: "OPTIONS", headers: preflight}, 401},
		{"on", true, request{method: "OPTIONS", headers: preflight}, 200},
		{"OPTIONS alone is none", true, request{method: "OPTIONS"}, 401},
		{"another method is none", true, request{method: "DELETE", headers: preflight}, 401},
		{"a token is judged", true, request{method: "OPTIONS", headers: append(auth("Bearer x"), preflight...)}, 401},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			New(newGate(t), Options{Preflight: c.on}).Require(http.HandlerFunc(greet)).ServeHTTP(w, c.send.make())
			if w.Code != c.status || w.Code == 200 && w.Body.String() != "false  at " {
				t.Errorf("%d %s, want %d and nobody", w.Code, w.Body, c.status)
			}
		})
	}
}

// TestOverTheWire: through a real server, where the header has been through a real parser.
func TestOverTheWire(t *testing.T) {
	srv := httptest.NewServer(New(newGate(t), Options{Service: "api"}).Require(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(b)
		})))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/echo", strings.NewReader("a=b&c=d"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form)
	req.Header.Set("Authorization", "bearer   "+token(t, nil))
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(b) != "a=b&c=d" {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
}

// TestNobodyOutside: a context that did not come through Require has nobody in it.
func TestNobodyOutside(t *testing.T) {
	if who, ok := FromContext(t.Context()); ok || who.Subject != "" {
		t.Errorf("%v %v", who, ok)
	}
}
