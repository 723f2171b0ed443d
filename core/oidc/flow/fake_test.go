package flow_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// fake is a provider whose every answer a test decides.
type fake struct {
	*httptest.Server
	md  *provider.Metadata
	key *jose.PrivateKey
	now time.Time

	mu     sync.Mutex
	answer http.HandlerFunc
	seen   []request
}

type request struct {
	path   string
	form   url.Values
	header http.Header
}

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{key: key, now: time.Unix(1_800_000_000, 0)}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	f.md = &provider.Metadata{
		Issuer: f.URL, AuthorizationEndpoint: f.URL + "/auth", TokenEndpoint: f.URL + "/token",
		DeviceAuthorizationEndpoint: f.URL + "/device", RevocationEndpoint: f.URL + "/revoke",
		IntrospectionEndpoint: f.URL + "/introspect", UserinfoEndpoint: f.URL + "/me",
	}
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	f.mu.Lock()
	f.seen = append(f.seen, request{r.URL.Path, r.Form, r.Header.Clone()})
	answer := f.answer
	f.mu.Unlock()
	answer(w, r)
}

// answers makes every request get this from now on.
func (f *fake) answers(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.seen = h, nil
}

func (f *fake) answersJSON(status int, body string) {
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (f *fake) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// Candidates makes the fake a flow.KeySource.
func (f *fake) Candidates(_ context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error) {
	if issuer != f.md.Issuer {
		return nil, provider.ErrUnknownKey
	}
	return jose.NewKeySet(f.key.Public()).Candidates(h), nil
}

func (f *fake) client(t *testing.T, edit ...func(*flow.ClientConfig, *flow.Options)) *flow.Client {
	t.Helper()
	cc := flow.ClientConfig{ID: "box", Secret: secret.FromString("s3cret of the client")}
	o := flow.Options{Keys: f, Now: func() time.Time { return f.now }}
	for _, e := range edit {
		e(&cc, &o)
	}
	return flow.New(newHTTP(t, httpc.Options{}), f.md, cc, o)
}

// sign makes an ID token of the claims.
func (f *fake) sign(t *testing.T, typ string, c map[string]any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := f.key.Sign(typ, b)
	if err != nil {
		t.Fatal(err)
	}
	return tok.Expose()
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
