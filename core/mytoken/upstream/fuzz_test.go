package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// FuzzCheck: whatever a provider answers, what is handed out can do no more than was asked for, as far as anybody can
// read it.
func FuzzCheck(f *testing.F) {
	f.Add("opaque", "storage.read:/a", "storage.read:/a", "se")
	f.Add("e30.eyJhdWQiOiJzZSIsInNjb3BlIjoiYSBiIn0.c2ln", "a b", "a", "se")
	f.Add("e30.eyJhdWQiOlsic2UiLCJldmlsIl19.c2ln", "", "a", "se")
	f.Add("e30.eyJhdWQiOiJhIiwiYXVkIjoiYiJ9.c2ln", "a", "", "a")
	r, err := upstream.New(nil, upstream.Options{Guest: &upstream.Guest{
		Issuer: "https://g.example", RedirectURI: redirectURI, Key: secret.New(make([]byte, 32)),
	}})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	got, _ := r.Provider("https://g.example")
	f.Fuzz(func(t *testing.T, at, said, scopes, audience string) {
		asked := candidate(scopes)
		if audience != "" {
			asked.Audience = []string{audience}
		}
		g, err := got.Check(asked, flow.Tokens{Access: secret.FromString(at), Scope: said})
		if err != nil {
			return
		}
		if len(asked.Audience) > 0 && g.Audience != nil && (len(g.Audience) == 0 || g.Audience[0] != audience) {
			t.Fatalf("for %q, asked for %q", g.Audience, audience)
		}
		if len(asked.Scopes) == 1 && !strings.ContainsAny(scopes, ":.") {
			for _, s := range g.Scopes {
				if s != asked.Scopes[0] && s != "openid" {
					t.Fatalf("can do %q, asked for %q", s, asked.Scopes[0])
				}
			}
		}
	})
}

// FuzzGuest: a browser's request leads to the server itself or nowhere, and no code is taken but a sealed one.
func FuzzGuest(f *testing.F) {
	f.Add("redirect_uri=https%3A%2F%2Fmytoken.example.org%2Fredirect&client_id=mytoken&response_type=code", "x")
	f.Add("redirect_uri=https%3A%2F%2Fevil.example", strings.Repeat("A", 100))
	g := &upstream.Guest{Issuer: "https://g.example", RedirectURI: redirectURI, Key: secret.New(make([]byte, 32))}
	f.Fuzz(func(t *testing.T, query, rt string) {
		req := httptest.NewRequest(http.MethodGet, upstream.GuestPath+"/auth", nil)
		req.URL.RawQuery = query
		w := httptest.NewRecorder()
		g.ServeHTTP(w, req)
		if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, redirectURI+"?") {
			t.Fatalf("sent to %s", to)
		}
		if _, err := g.Refresh(t.Context(), secret.FromString(rt), flow.Request{}); err == nil {
			t.Fatal("a refresh token that nobody has given out")
		}
	})
}
