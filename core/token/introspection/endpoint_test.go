package introspection

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
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

const (
	testIssuer   = "https://op.example.org"
	testAudience = "https://api.example.org"
	wikiSecret   = "wiki-secret-of-32-characters-abc"
	oddSecret    = "100%+sure=of this:one"
	testPolicy   = `
version: 1
services:
  wiki: {require: ANYONE}
  store:
    rules:
      - {paths: [/admin], require: {subject: {issuer: "https://op.example.org", sub: bob}}}
    require: ANYONE
  closed: {require: NOONE}
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

// token signs a good token with some claims changed; a nil one is left out.
func token(tb testing.TB, changed map[string]any) string {
	tb.Helper()
	c := map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testAudience, "exp": now.Unix() + 600, "iat": now.Unix(),
		"client_id": "app", "jti": "j", "scope": "read write",
	}
	maps.Copy(c, changed)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := testKey().Sign("", payload)
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

func testClients() map[string]Client {
	return map[string]Client{
		"wiki":   {Secret: secret.FromString(wikiSecret), Service: "wiki"},
		"closed": {Secret: secret.FromString(wikiSecret), Service: "closed"},
		"store":  {Secret: secret.FromString(wikiSecret), Service: "store"},
		"o d%d":  {Secret: secret.FromString(oddSecret), Service: "wiki"},
	}
}

func newEndpoint(tb testing.TB, g Gate, o Options) http.Handler {
	tb.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return now }
	}
	h, err := New(g, o)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// question is a request of a client. basic is "id:secret" as it stands in the header, "" for none.
type question struct {
	method, target, kind, basic, body string
	headers                           []string // more of Authorization
}

func (q question) ask(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(or(q.method, "POST"), or(q.target, "/introspect"), strings.NewReader(q.body))
	r.Header.Set("Content-Type", or(q.kind, "application/x-www-form-urlencoded"))
	if q.basic != "" {
		id, password, _ := strings.Cut(q.basic, ":")
		r.SetBasicAuth(id, password)
	}
	for _, v := range q.headers {
		r.Header.Add("Authorization", v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

const wiki = "wiki:" + wikiSecret

// TestHostile: who does not say who it is learns nothing, and what is no question gets no answer.
func TestHostile(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	good := "token=" + token(t, nil)
	cases := []struct {
		name   string
		q      question
		status int
		code   string
	}{
		{"no credentials", question{body: good}, 401, "invalid_client"},
		{"a wrong secret", question{basic: "wiki:wiki-secret-of-32-characters-abd", body: good}, 401, "invalid_client"},
		{"a secret with more behind it", question{basic: wiki + "x", body: good}, 401, "invalid_client"},
		{"an empty secret", question{basic: "wiki:", body: good}, 401, "invalid_client"},
		{"the secret of nobody", question{basic: "nobody:" + wikiSecret, body: good}, 401, "invalid_client"},
		{"no id", question{basic: ":" + wikiSecret, body: good}, 401, "invalid_client"},
		{"a token for credentials", question{headers: []string{"Bearer " + token(t, nil)}, body: good}, 401, "invalid_client"},
		{"credentials that are no base64", question{headers: []string{"Basic !!"}, body: good}, 401, "invalid_client"},
		{"credentials twice", question{basic: wiki, headers: []string{"Basic YTpi"}, body: good}, 400, "invalid_request"},
		{"credentials in header and body", question{
			basic: wiki, body: good + "&client_id=wiki&client_secret=" + wikiSecret,
		}, 400, "invalid_request"},
		{"a wrong secret in the body", question{body: good + "&client_id=wiki&client_secret=x"}, 401, "invalid_client"},
		{"an id alone", question{body: good + "&client_id=wiki"}, 401, "invalid_client"},
		{"credentials in the query", question{
			target: "/introspect?client_id=wiki&client_secret=" + wikiSecret, body: good,
		}, 401, "invalid_client"},
		{"GET", question{method: "GET", target: "/introspect?" + good, basic: wiki}, 405, "invalid_request"},
		{"PUT", question{method: "PUT", basic: wiki, body: good}, 405, "invalid_request"},
		{"the token in the query", question{target: "/introspect?" + good, basic: wiki}, 400, "invalid_request"},
		{"no token", question{basic: wiki, body: "token_type_hint=access_token"}, 400, "invalid_request"},
		{"an empty token", question{basic: wiki, body: "token="}, 400, "invalid_request"},
		{"two tokens", question{basic: wiki, body: good + "&" + good}, 400, "invalid_request"},
		{"JSON", question{basic: wiki, kind: "application/json", body: `{"token":"a"}`}, 400, "invalid_request"},
		{"no content type", question{basic: wiki, kind: " ", body: good}, 400, "invalid_request"},
		{"a broken form", question{basic: wiki, body: "token=%zz"}, 400, "invalid_request"},
		{"a semicolon", question{basic: wiki, body: good + ";x=1"}, 400, "invalid_request"},
		{"very many parameters", question{basic: wiki, body: good + strings.Repeat("&a", 40)}, 400, "invalid_request"},
		{"too much", question{basic: wiki, body: "token=" + strings.Repeat("a", 300<<10)}, 413, "invalid_request"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := c.q.ask(h)
			var got struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.status || got.Error != c.code || strings.Contains(w.Body.String(), "active") {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (c.status == 401) {
				t.Errorf("%d with WWW-Authenticate %q", w.Code, w.Header().Get("WWW-Authenticate"))
			}
			if c.status == 405 && w.Header().Get("Allow") != "POST" {
				t.Errorf("Allow: %q", w.Header().Get("Allow"))
			}
		})
	}
}

// TestInactive: of a token that is refused nothing is said, whatever the reason.
func TestInactive(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	good := token(t, nil)
	cases := map[string]question{
		"expired": {basic: wiki, body: "token=" + token(t, map[string]any{
			"exp": now.Unix() - 3600, "iat": now.Unix() - 7200,
		})},
		"for somebody else":              {basic: wiki, body: "token=" + token(t, map[string]any{"aud": "https://x.example.org"})},
		"of an issuer nobody trusts":     {basic: wiki, body: "token=" + token(t, map[string]any{"iss": "https://evil.example.org"})},
		"opaque":                         {basic: wiki, body: "token=opaque"},
		"no token by its characters":     {basic: wiki, body: "token=" + url.QueryEscape("a b\x00")},
		"longer than a token may be":     {basic: wiki, body: "token=" + strings.Repeat("a", jose.MaxToken+1)},
		"with another signature":         {basic: wiki, body: "token=" + good[:len(good)-4] + "AAAA"},
		"bound to a key":                 {basic: wiki, body: "token=" + token(t, map[string]any{"cnf": map[string]any{"jkt": "x"}})},
		"refused by the policy":          {basic: "closed:" + wikiSecret, body: "token=" + good},
		"refused by the policy, by path": {basic: "store:" + wikiSecret, body: "token=" + good + "&path=/admin"},
		"for a policy that needs a path": {basic: "store:" + wikiSecret, body: "token=" + good},
	}
	for name, q := range cases {
		t.Run(name, func(t *testing.T) {
			w := q.ask(h)
			if w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"active":false}` {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%v", w.Header())
			}
		})
	}
}

// TestActive: the answer is that of RFC 7662 section 2.2, with the claims of the token.
func TestActive(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	w := question{basic: wiki, body: "token_type_hint=access_token&token=" + token(t, map[string]any{
		"wlcg.groups": []string{"/cms"}, "exp": float64(now.Unix()) + 600.75, "email": "a@b.c\"",
	})}.ask(h)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"active": true, "token_type": "Bearer", "iss": testIssuer, "sub": "alice", "aud": testAudience,
		"client_id": "app", "jti": "j", "scope": "read write", "exp": float64(now.Unix() + 600), "iat": float64(now.Unix()),
		"wlcg.groups": []any{"/cms"}, "email": "a@b.c\"",
	}
	if w.Code != 200 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d\n got %v\nwant %v", w.Code, got, want)
	}
	if _, err := jose.StrictObject(w.Body.Bytes(), 4, 100); err != nil {
		t.Errorf("no strict JSON: %v", err)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
}

// TestActiveByPath: what the policy needs to know can be sent along.
func TestActiveByPath(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	w := question{basic: "store:" + wikiSecret, body: "method=GET&path=/x&token=" + token(t, nil)}.ask(h)
	if !strings.HasPrefix(w.Body.String(), `{"active":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// asked keeps what a gate is asked.
type asked struct {
	shown gate.Presented
	r     policy.Request
}

func (a *asked) Decide(_ context.Context, p gate.Presented, r policy.Request) (gate.Outcome, error) {
	p.Token = p.Token.Clone() // it is wiped after the answer
	a.shown, a.r = p, r
	return gate.Outcome{}, nil
}

// TestParameters: all that a client may say reaches the gate as it is said, and nothing else does.
func TestParameters(t *testing.T) {
	g := &asked{}
	q := question{basic: wiki, body: url.Values{
		"token": {"opaque"}, "token_type_hint": {"access_token"}, "issuer": {testIssuer}, "method": {"GET"},
		"operation": {"storage.read"}, "path": {"/a%20b"}, "service": {"closed"}, "client_id": {"closed"},
	}.Encode()}
	if w := q.ask(newEndpoint(t, g, Options{Clients: testClients()})); w.Code != 200 {
		t.Fatal(w.Code)
	}
	want := policy.Request{Service: "wiki", Method: "GET", Operation: "storage.read", Path: "/a%20b"}
	if g.r != want || g.shown.Token.Expose() != "opaque" || g.shown.Issuer != testIssuer || g.shown.Scheme != gate.Bearer {
		t.Errorf("%+v, hint %s", g.r, g.shown.Issuer)
	}
}

// TestActiveForgery: a claim cannot take the place of what the endpoint says itself, nor come twice.
func TestActiveForgery(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	w := question{basic: wiki, body: "token=" + token(t, map[string]any{
		"active": false, "token_type": "N_A", "ver": nil, "_claim_sources": map[string]any{"x": "secret of another"},
		"Active": "no",
	})}.ask(h)
	o, err := jose.StrictObject(w.Body.Bytes(), 4, 100)
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := o.Bool("active"); err != nil || !yes {
		t.Errorf("active: %v %v in %s", yes, err, w.Body)
	}
	if kind, err := o.String("token_type"); err != nil || kind != "Bearer" {
		t.Errorf("token_type %q %v", kind, err)
	}
	if strings.Contains(w.Body.String(), "secret of another") {
		t.Errorf("distributed claims are passed on: %s", w.Body)
	}
}

// TestActiveLeavesControlCharactersOut: what a person calls itself cannot end a header at a client that makes one of it.
func TestActiveLeavesControlCharactersOut(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	w := question{basic: wiki, body: "token=" + token(t, map[string]any{
		"a": "x\r\nX-Admin: 1", "b": []string{"y", "z\r"}, "c": "\x7f", "d": "\x00", "f": "\u0085",
		"good": `q"\\é`, "address": map[string]any{"formatted": "street\ntown"}, "n": []any{1, true, "é\\"},
	})}.ask(h)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "f"} {
		if v, there := got[name]; there {
			t.Errorf("%q: %q", name, v)
		}
	}
	if got["good"] != `q"\\é` || got["address"] == nil || got["n"] == nil || got["sub"] != "alice" {
		t.Errorf("%v", got)
	}
}

// TestActiveMerged: userinfo and the issuer's own introspection are in the answer as the policy sees them.
func TestActiveMerged(t *testing.T) {
	object := func(s string) jose.Object {
		o, err := jose.StrictObject([]byte(s), 8, 100)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	out := gate.Outcome{Opaque: true, Expires: now, Subject: policy.Subject{
		Issuer: testIssuer, Subject: "alice",
		Introspection: object(`{"active":true,"sub":"alice","iat":5,"scope":"a b","aud":["x"],"token_type":"bearer"}`),
		Userinfo:      object(`{"sub":"alice","aud":"forged","scope":"forged","entitlements":["urn:x"],"email":"a@b"}`),
	}}
	var got map[string]any
	if err := json.Unmarshal(active(out), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"active": true, "token_type": "Bearer", "iss": testIssuer, "sub": "alice", "exp": float64(now.Unix()), "iat": 5.0,
		"scope": "a b", "aud": []any{"x"}, "entitlements": []any{"urn:x"}, "email": "a@b",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

// stub is a gate in trouble.
type stub struct{ err error }

func (s stub) Decide(context.Context, gate.Presented, policy.Request) (gate.Outcome, error) {
	return gate.Outcome{}, s.err
}

// TestTrouble: an outage is no verdict.
func TestTrouble(t *testing.T) {
	down := &gate.Refusal{Status: 503, Description: "not now", RetryAfter: 1200 * time.Millisecond, Err: errors.New("op down")}
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  string
	}{
		"keys that cannot be had": {down, 503, "temporarily_unavailable", "2"},
		"an error of ours":        {errors.New("disk is full"), 500, "server_error", ""},
		"a refusal that is ours":  {&gate.Refusal{Status: 500, Err: errors.New("disk is full")}, 500, "server_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := newEndpoint(t, stub{c.err}, Options{Open: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
			w := question{body: "token=s3cr3t"}.ask(h)
			body := w.Body.String()
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retry || !strings.Contains(body, c.code) {
				t.Errorf("%d %v %s", w.Code, w.Header(), body)
			}
			if strings.Contains(body, "active") || strings.Contains(body, "disk") || strings.Contains(body, "op down") {
				t.Errorf("says too much: %s", body)
			}
			if strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("the token is logged: %s", log.String())
			}
		})
	}
}

// TestOverTheWire: with a real server and client.
func TestOverTheWire(t *testing.T) {
	srv := httptest.NewServer(newEndpoint(t, newGate(t), Options{Clients: testClients()}))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/introspect",
		strings.NewReader(url.Values{"token": {token(t, nil)}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.SetBasicAuth("wiki", wikiSecret)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(b), `{"active":true`) {
		t.Errorf("%d %s %v", resp.StatusCode, b, err)
	}
}

// FuzzForm: any body is an answer, and never more than "inactive" without a good token.
func FuzzForm(f *testing.F) {
	f.Add("token=a", "Basic d2lraTp4")
	f.Add("token=a&token=b", "")
	f.Add("client_id=a&client_secret=%", "Basic")
	f.Fuzz(func(t *testing.T, body, header string) {
		h := newEndpoint(t, newGate(t), Options{Clients: testClients(), Open: true, Service: "wiki"})
		q := question{body: body}
		if header != "" {
			q.headers = []string{header}
		}
		w := q.ask(h)
		if w.Code == 200 && strings.TrimSpace(w.Body.String()) != `{"active":false}` || w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
