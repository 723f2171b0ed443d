package upstream_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const redirectURI = "https://mytoken.example.org/redirect"

// fake is a provider whose answers a test decides. The zero answers are those of a good one.
type fake struct {
	*httptest.Server
	t   *testing.T
	key *jose.PrivateKey

	mu       sync.Mutex
	metadata map[string]any
	answers  map[string]http.HandlerFunc // by path; else the good answer
	nonce    string                      // of the last authorization
	seen     map[string][]url.Values     // forms by path
	tokens   map[string]any              // members of the token answer that differ
	id       map[string]any              // claims of the ID token that differ
	at       map[string]any              // claims of the access token that differ; nil: it is opaque
}

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, key: key, answers: map[string]http.HandlerFunc{}, seen: map[string][]url.Values{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	f.metadata = map[string]any{
		"issuer": f.URL, "authorization_endpoint": f.URL + "/auth", "token_endpoint": f.URL + "/token",
		"jwks_uri": f.URL + "/jwks", "revocation_endpoint": f.URL + "/revoke", "userinfo_endpoint": f.URL + "/me",
		"device_authorization_endpoint": f.URL + "/device", "scopes_supported": []string{"openid", "email"},
	}
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	f.mu.Lock()
	f.seen[r.URL.Path] = append(f.seen[r.URL.Path], r.PostForm)
	answer := f.answers[r.URL.Path]
	f.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		f.mu.Lock()
		md := maps.Clone(f.metadata)
		f.mu.Unlock()
		writeJSON(w, 200, md)
	case "/jwks":
		set, _ := jose.NewKeySet(f.key.Public()).MarshalJSON()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set)
	case "/token":
		writeJSON(w, 200, f.tokenAnswer(r.PostForm))
	case "/me":
		writeJSON(w, 200, map[string]any{"sub": "alice", "email": "alice@example.org", "email_verified": true})
	case "/revoke":
		w.WriteHeader(200)
	default:
		http.NotFound(w, r)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// tokenAnswer is what a good provider answers to a form, with the differences of the test.
func (f *fake) tokenAnswer(form url.Values) map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now().Unix()
	id := merged(map[string]any{
		"iss": f.URL, "sub": "alice", "aud": "box", "iat": now, "exp": now + 600, "nonce": f.nonce,
		"auth_time": now - 60,
	}, f.id)
	answer := map[string]any{
		"access_token": "opaque-" + rand.Text(), "token_type": "Bearer", "expires_in": 3600,
		"refresh_token": "the refresh token", "id_token": f.sign("JWT", id),
	}
	if s := form.Get("scope"); s != "" {
		answer["scope"] = s
	}
	if f.at != nil {
		answer["access_token"] = f.sign("at+jwt", merged(map[string]any{
			"iss": f.URL, "sub": "alice", "aud": append(form["audience"], form["resource"]...), "exp": now + 600,
		}, f.at))
	}
	return merged(answer, f.tokens)
}

// merged lays the members of b over a; nil takes one away.
func merged(a, b map[string]any) map[string]any {
	for k, v := range b {
		if a[k] = v; v == nil {
			delete(a, k)
		}
	}
	return a
}

func (f *fake) sign(typ string, claims map[string]any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		f.t.Fatal(err)
	}
	tok, err := f.key.Sign(typ, b)
	if err != nil {
		f.t.Fatal(err)
	}
	return tok.Expose()
}

// answer makes a path answer this from now on.
func (f *fake) answer(path string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = h
}

func text(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (f *fake) forms(path string) []url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[path]
}

func (f *fake) config() upstream.Config {
	return upstream.Config{
		Issuer: f.URL, Name: "fake", ClientID: "box", Secret: secret.FromString("s3cret of the client"),
		Audience: upstream.Audience,
	}
}

// registry is ready when it is returned, or degraded.
func registry(t *testing.T, o upstream.Options, cs ...upstream.Config) *upstream.Registry {
	t.Helper()
	r, err := upstream.New(cs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *fake) provider(edit ...func(*upstream.Config)) *upstream.Provider {
	f.t.Helper()
	c := f.config()
	for _, e := range edit {
		e(&c)
	}
	return only(f.t, registry(f.t, upstream.Options{}, c))
}

func only(t *testing.T, r *upstream.Registry) *upstream.Provider {
	t.Helper()
	p, ok := r.Provider(r.Status()[0].Issuer)
	if !ok {
		t.Fatal("no provider")
	}
	return p.(*upstream.Provider)
}

// draft is a login as the desk draws it.
func draft(scopes string, audience ...string) desk.Start {
	return desk.Start{
		RedirectURI: redirectURI, State: secret.FromString(rand.Text()), Nonce: secret.FromString(rand.Text()),
		Verifier: secret.FromString(rand.Text() + rand.Text()), Scopes: strings.Fields(scopes), Audience: audience,
	}
}

// landing is the redirect that a good provider answers with.
func landing(s desk.Start, query url.Values) desk.Finish {
	q := url.Values{"state": {s.State.Expose()}, "code": {"the-code"}}
	for name, v := range query {
		q[name] = v
	}
	return desk.Finish{
		Query: q, RedirectURI: s.RedirectURI, State: s.State, Nonce: s.Nonce, Verifier: s.Verifier, Scopes: s.Scopes,
		Audience: s.Audience, From: desk.Origin{Client: netip.MustParseAddr("192.0.2.7")},
	}
}

// login runs a whole login, finished by another Provider than the one that began it, as another process would.
func (f *fake) login(p *upstream.Provider, s desk.Start) (desk.Authenticated, error) {
	f.t.Helper()
	if _, err := p.Start(f.t.Context(), s); err != nil {
		return desk.Authenticated{}, err
	}
	f.mu.Lock()
	f.nonce = s.Nonce.Expose()
	f.mu.Unlock()
	return p.Finish(f.t.Context(), landing(s, nil))
}

// restrictions is one clause; "" limits nothing.
func restrictions(scope, audience string) mytoken.Restrictions {
	r := mytoken.Restriction{Scope: scope}
	if audience != "" {
		r.Audience = []string{audience}
	}
	return mytoken.Restrictions{r}
}

func query(t *testing.T, raw string) url.Values {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}
