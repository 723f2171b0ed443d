package service

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

// registrar is a provider that registers as a test tells it to.
type registrar struct {
	*httptest.Server
	document map[string]any
	answer   func(redirects []string) (status int, body map[string]any)

	mu    sync.Mutex
	asked [][]string // the redirect URIs of each request
}

func newRegistrar(t *testing.T, answer func(redirects []string) (int, map[string]any)) *registrar {
	t.Helper()
	r := &registrar{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	r.document = map[string]any{
		"issuer": r.URL, "authorization_endpoint": r.URL + "/auth", "token_endpoint": r.URL + "/token", "jwks_uri": r.URL + "/jwks",
		"registration_endpoint": r.URL + "/register", "scopes_supported": []string{"openid", "offline_access", "email"},
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}
	return r
}

func (r *registrar) serve(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(q.URL.Path, "/.well-known/") {
		_ = json.NewEncoder(w).Encode(r.document)
		return
	}
	var body struct {
		RedirectURIs []string `json:"redirect_uris"`
	}
	b, _ := io.ReadAll(io.LimitReader(q.Body, 1<<16))
	_ = json.Unmarshal(b, &body)
	r.mu.Lock()
	r.asked = append(r.asked, body.RedirectURIs)
	r.mu.Unlock()
	status, out := r.answer(body.RedirectURIs)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

func (w *world) registerAt(r *registrar) proto.Reply {
	w.t.Helper()
	return w.ask(proto.Request{Type: proto.TypeRegister, Flow: []string{"code"}, Config: w.account("a", map[string]any{
		"issuer_url": r.URL, "client_name": "oidc-agent:a-host", "auth_scope": "openid email", "redirect_uris": []string{
			"http://localhost:4242", customScheme + "/redirect",
		},
	})})
}

func TestRegistrations(t *testing.T) {
	registered := map[string]any{"client_id": "new", "client_secret": "s", "scope": "openid offline_access email"}
	t.Run("a_provider_that_wants_no_scheme", func(t *testing.T) {
		for _, refusal := range []map[string]any{
			{"error": "invalid_redirect_uri"},
			{"error": "invalid_client_metadata", "error_description": "no such scheme"},
			{"error": "invalid_request", "error_description": "Custom redirect_uri not allowed for web client"},
		} {
			r := newRegistrar(t, func(redirects []string) (int, map[string]any) {
				if slices.ContainsFunc(redirects, customRedirect) {
					return http.StatusBadRequest, refusal
				}
				return http.StatusCreated, registered
			})
			rep := newWorld(t).registerAt(r)
			if rep.Err() != nil || !strings.Contains(rep.Client.Expose(), `"new"`) || rep.MaxScopes != "openid offline_access email" {
				t.Errorf("%v: %v", refusal, rep.Err())
			}
			if last := r.asked[len(r.asked)-1]; !slices.Equal(last, []string{"http://localhost:4242"}) {
				t.Errorf("registered with %q", last)
			}
		}
	})
	t.Run("without_what_every_login_needs", func(t *testing.T) {
		r := newRegistrar(t, func([]string) (int, map[string]any) {
			return http.StatusCreated, map[string]any{"client_id": "poor", "scope": "openid"}
		})
		rep := newWorld(t).registerAt(r)
		if rep.Error != "Could not register the necessary scopes dynamically" || !strings.Contains(rep.Info.Text(), "offline_access") ||
			!strings.Contains(rep.Client.Expose(), `"poor"`) {
			t.Errorf("%q, %q", rep.Error, rep.Info.Text())
		}
	})
	t.Run("no_registration_in_the_originals_words", func(t *testing.T) {
		r := newRegistrar(t, nil)
		delete(r.document, "registration_endpoint")
		if rep := newWorld(t).registerAt(r); rep.Error != textNoRegistration {
			t.Errorf("%q", rep.Error)
		}
	})
	t.Run("a_refusal_is_not_asked_for_again", func(t *testing.T) {
		r := newRegistrar(t, func([]string) (int, map[string]any) {
			return http.StatusForbidden, map[string]any{"error": "access_denied", "error_description": "closed\x1b[31m"}
		})
		rep := newWorld(t).registerAt(r)
		if rep.Error == "" || strings.ContainsRune(rep.Error, 0x1b) || len(r.asked) != 1 {
			t.Errorf("%q after %d requests", rep.Error, len(r.asked))
		}
	})
}

// TestAddressWithoutProvider: the original's oidc-gen passes on code and state alone. The login stays open for the whole
// address.
func TestAddressWithoutProvider(t *testing.T) {
	w := newWorld(t)
	rep := w.must(proto.Request{
		Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}, NoWebserver: true, NoScheme: true,
	})
	if rep.Info.Text() != "" {
		t.Errorf("the client knows that nobody listens: %q", rep.Info.Text())
	}
	final := w.op.Login(rep.URI, "alice")
	u, err := url.Parse(final)
	if err != nil {
		t.Fatal(err)
	}
	cut := u.Scheme + "://" + u.Host + "?code=" + u.Query().Get("code") + "&state=" + rep.State
	got := w.ask(proto.Request{Type: proto.TypeCodeExchange, RedirectURI: secret.FromString(cut), FromGen: true})
	if !strings.Contains(got.Error, "which provider") || !strings.Contains(got.Info.Text(), "--codeExchange") {
		t.Errorf("%q, %q", got.Error, got.Info.Text())
	}
	whole := w.must(proto.Request{Type: proto.TypeCodeExchange, RedirectURI: secret.FromString(final), FromGen: true})
	if whole.Config.Empty() {
		t.Error("the whole address gave no login")
	}
}
