package forward

import (
	"encoding/json"
	"io"
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
	testAudience = "https://se.example.org"
	testHost     = "se.example.org"
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

type set map[string]any

// bearer is an Authorization header with a WLCG token that has a scope.
func bearer(t testing.TB, scope string, edit ...set) string {
	t.Helper()
	return "Bearer " + sign(t, "", set{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(), "jti": "j",
		"nbf": now.Unix(), "wlcg.ver": "1.0", "wlcg.groups": []string{"/vo", "/vo/admins"}, "scope": scope,
	}, edit...)
}

func sign(t testing.TB, typ string, s set, edit ...set) string {
	t.Helper()
	for _, e := range edit {
		maps.Copy(s, e)
	}
	payload, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	token, err := testKey().Sign(typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return token.Expose()
}

const testPolicy = `
version: 1
issuers:
  https://op.example.org: {areas: [/], groups: [/vo], namespaces: [urn:geant:example.org]}
services:
  storage:
    require: {capability: requested}
  api:
    rules:
      - {paths: [/admin], require: NOONE}
      - {methods: [DELETE], require: {scope: delete}}
    require: ANYONE
  page: {require: ANYONE}
`

// world is a handler with a gate, and what the gate's observer was told.
type world struct {
	*Handler
	mu     sync.Mutex
	events []gate.Event
}

func newWorld(t testing.TB, services ...Service) *world {
	t.Helper()
	return newWorldOf(t, testPolicy, services...)
}

func newWorldOf(t testing.TB, rules string, services ...Service) *world {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: testIssuer, Keys: jose.NewKeySet(testKey().Public())}}},
		Audiences: []string{testAudience}, Policy: p,
	}, gate.Options{Now: func() time.Time { return now }, Observe: func(e gate.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	if w.Handler, err = New(Options{Gate: g, Services: services}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) last() gate.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return gate.Event{}
	}
	return w.events[len(w.events)-1]
}

func storage(p Proxy) Service {
	return Service{Name: "storage", Proxy: p, Hosts: []string{testHost}, Operations: Storage}
}

// ask is a request of a client, as it is asked about by a proxy.
type ask struct {
	proxy          Proxy
	method, target string
	host           string // "": testHost
	header         http.Header
}

// request is what the proxy sends: the client's headers and its own.
func (a ask) request() *http.Request {
	if a.host == "" {
		a.host = testHost
	}
	if a.method == "" {
		a.method = http.MethodGet
	}
	if a.proxy == Envoy {
		r := httptest.NewRequest(http.MethodGet, "http://verifier/", nil)
		r.Method, r.Host, r.RequestURI = a.method, a.host, Envoy.Address()+a.target
		maps.Copy(r.Header, a.header)
		return r
	}
	r := httptest.NewRequest(http.MethodGet, a.proxy.Address(), nil)
	method, host, uri := a.proxy.sourceHeaders()
	r.Header = http.Header{method: {a.method}, host: {a.host}, uri: {a.target}}
	for name, values := range a.header {
		r.Header[name] = append(values, r.Header[name]...)
	}
	return r
}

func (w *world) ask(a ask) *http.Response {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, a.request())
	return rec.Result()
}

// auth is headers with a token and others: name, value, name, value.
func auth(token string, more ...string) http.Header {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", token)
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = append(h[more[i]], more[i+1])
	}
	return h
}

// meant is the status the answer means, whatever the proxy is told.
func meant(t testing.TB, resp *http.Response) string {
	t.Helper()
	if n := len(resp.Header[StatusHeader]); n != 1 {
		t.Fatalf("%d headers %s", n, StatusHeader)
	}
	return resp.Header.Get(StatusHeader)
}

func body(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
