package service

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

// recorder is a provider that gives tokens to everybody and remembers what it was asked.
type recorder struct {
	*httptest.Server
	mu    sync.Mutex
	forms []url.Values
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": r.URL, "token_endpoint": r.URL + "/token", "authorization_endpoint": r.URL + "/auth",
			"scopes_supported": []string{"openid", "offline_access"},
		})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, q *http.Request) {
		_ = q.ParseForm()
		r.mu.Lock()
		r.forms = append(r.forms, q.PostForm)
		r.mu.Unlock()
		answer(w, map[string]any{
			"access_token": "at", "token_type": "bearer", "refresh_token": "rt", "expires_in": 3600, "scope": "openid offline_access x",
		})
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) last(t *testing.T) url.Values {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.forms) == 0 {
		t.Fatal("the provider was asked nothing")
	}
	return r.forms[len(r.forms)-1]
}

func sent(t *testing.T, form url.Values, want map[string][]string) {
	t.Helper()
	for name, values := range want {
		if !slices.Equal(form[name], values) {
			t.Errorf("%s = %q, want %q", name, form[name], values)
		}
	}
}

// TestWhatIsSent: the fields of the requests as oidc-agent 5 sends them, without its faults.
func TestWhatIsSent(t *testing.T) {
	w := newWorld(t)
	op := newRecorder(t)
	account := map[string]any{
		"issuer_url": op.URL, "scope": "a openid b offline_access", "audience": "https://own.example.org",
		"username": "alice", "password": "pass word",
	}
	w.must(proto.Request{Type: proto.TypeGen, Config: w.account("p", account), Flow: []string{"refresh", "password"}})
	sent(t, op.last(t), map[string][]string{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"pass word"}, "scope": {"a openid b offline_access"},
		"resource": {"https://own.example.org"},
	})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "p", MinValid: proto.ForceNew}
	w.must(force)
	// What the first answer granted is asked for from then on; the account's audience is not repeated.
	sent(t, op.last(t), map[string][]string{
		"grant_type": {"refresh_token"}, "refresh_token": {"rt"}, "scope": {"openid x"}, "resource": nil, "audience": nil,
	})
	force.Scope, force.Audience = "b offline_access a", "https://se1.example.org https://se2.example.org"
	w.must(force)
	sent(t, op.last(t), map[string][]string{
		"scope": {"b a"}, "resource": {"https://se1.example.org", "https://se2.example.org"}, "audience": nil,
	})
	force.Audience = "se1 se2"
	w.must(force)
	sent(t, op.last(t), map[string][]string{"audience": {"se1", "se2"}, "resource": nil})
	force.Audience = "se1 https://se2.example.org"
	w.must(force)
	sent(t, op.last(t), map[string][]string{"audience": {"se1"}, "resource": {"https://se2.example.org"}})
}

// TestAudienceStyle: the form is that of the provider's entry; without one it is that of RFC 8707.
func TestAudienceStyle(t *testing.T) {
	dir := t.TempDir()
	const entry = `[{"issuer":"https://fixed.example.org","audience_style":"fixed:any"}]`
	if err := os.WriteFile(filepath.Join(dir, "issuer.config"), []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := login.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{opts: Options{Log: slog.New(slog.DiscardHandler), Issuers: func() login.Catalogue { return known }}}
	for issuer, want := range map[string]flow.AudienceStyle{
		"https://wlcg.cloud.cnaf.infn.it/":             flow.AudienceJoined,
		"https://cms-auth.web.cern.ch":                 flow.AudienceJoined,
		"https://fixed.example.org":                    "fixed:any",
		"https://op.example.org":                       flow.AudienceResource,
		"https://wlcg.cloud.cnaf.infn.it.evil.example": flow.AudienceResource,
	} {
		if got := s.audienceStyle(t.Context(), issuer, nil); got != want {
			t.Errorf("%s: %s, want %s", issuer, got, want)
		}
	}
}

func TestAuthScopes(t *testing.T) {
	for _, c := range []struct {
		asked, issuer  string
		oauth2, onlyAT bool
		want           []string
	}{
		{"a b a", "https://op.example.org", false, false, []string{"a", "b", "openid", "offline_access"}},
		{"offline_access a", "https://op.example.org", true, false, []string{"offline_access", "a"}},
		{"openid offline_access", "https://accounts.google.com", false, false, []string{"openid"}},
		{"a offline_access", "https://op.example.org", false, true, []string{"a", "openid"}},
		{"", "https://op.example.org", false, false, []string{"openid", "offline_access"}},
	} {
		if got := authScopes(c.asked, c.issuer, c.oauth2, c.onlyAT); !slices.Equal(got, c.want) {
			t.Errorf("authScopes(%q, %s) = %q, want %q", c.asked, c.issuer, got, c.want)
		}
	}
}
