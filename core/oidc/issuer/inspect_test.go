package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
)

func introspect(s *issuertest.Server, client, clientSecret, token string) issuertest.Answer {
	return s.Post("/introspect", client, clientSecret, url.Values{"token": {token}})
}

func TestIntrospect(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	tok := s.Tokens("alice", "openid offline_access storage.read:/")
	a := introspect(s, "rs", "rs-secret", tok.Access.Expose())
	for name, want := range map[string]any{"active": true, "username": "alice", "scope": tok.Scope, "client_id": "web"} {
		if a.Body[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, a.Body[name], want)
		}
	}
	a = introspect(s, "web", "web-secret", tok.Refresh.Expose())
	if a.Body["active"] != true || a.Body["client_id"] != "web" {
		t.Errorf("refresh token to its client: %v", a.Body)
	}
	inactive := map[string]string{
		"refresh token of another client": tok.Refresh.Expose(), "ID token": tok.ID.Expose(), "made-up": "x",
		"broken signature": tok.Access.Expose()[:tok.Access.Len()-4] + "AAAA",
	}
	for name, token := range inactive {
		if a := introspect(s, "rs", "rs-secret", token); a.Body["active"] != false || len(a.Body) != 1 {
			t.Errorf("%s: %v", name, a.Body)
		}
	}
	a = s.Token("web", "web-secret", refreshForm(tok.Refresh))
	wantOK(t, a)
	if introspect(s, "web", "web-secret", tok.Refresh.Expose()).Body["active"] != false {
		t.Error("a used refresh token is active")
	}
	if introspect(s, "web", "web-secret", text(a, "refresh_token").Expose()).Body["active"] != true {
		t.Error("its successor is not active")
	}
	wantError(t, introspect(s, "native", "", tok.Access.Expose()), 401, "invalid_client")
	wantError(t, introspect(s, "rs", "x", tok.Access.Expose()), 401, "invalid_client")
	wantError(t, introspect(s, "rs", "rs-secret", ""), 400, "invalid_request")
	c.pass(time.Hour)
	if active(t, s, tok.Access) {
		t.Error("an expired token is active")
	}
}

func TestRevoke(t *testing.T) {
	s := issuertest.Start(t)
	revoke := func(client, clientSecret string, token secret.Text) issuertest.Answer {
		return s.Post("/revoke", client, clientSecret, url.Values{"token": {token.Expose()}})
	}
	t.Run("an access token alone", func(t *testing.T) {
		tok := s.Tokens("alice", "openid offline_access")
		if a := revoke("web", "web-secret", tok.Access); a.Status != http.StatusOK {
			t.Fatalf("got %d", a.Status)
		}
		if active(t, s, tok.Access) {
			t.Error("still active")
		}
		wantOK(t, s.Token("web", "web-secret", refreshForm(tok.Refresh)))
	})
	t.Run("a refresh token with its family", func(t *testing.T) {
		tok := s.Tokens("alice", "openid offline_access")
		a := s.Token("web", "web-secret", refreshForm(tok.Refresh))
		newer := text(a, "access_token")
		if a := revoke("web", "web-secret", text(a, "refresh_token")); a.Status != http.StatusOK {
			t.Fatalf("got %d", a.Status)
		}
		if active(t, s, tok.Access) || active(t, s, newer) {
			t.Error("an access token is still active")
		}
		wantError(t, s.Token("web", "web-secret", refreshForm(text(a, "refresh_token"))), 400, "invalid_grant")
	})
	t.Run("not that of others", func(t *testing.T) {
		tok := s.Tokens("alice", "openid offline_access")
		for _, token := range []secret.Text{tok.Access, tok.Refresh} {
			wantError(t, revoke("service", "service-secret", token), 400, "unauthorized_client")
			wantError(t, revoke("web", "wrong", token), 401, "invalid_client")
		}
		if !active(t, s, tok.Access) {
			t.Error("a stranger revoked it")
		}
		wantOK(t, s.Token("web", "web-secret", refreshForm(tok.Refresh)))
	})
	t.Run("what is not known is revoked already", func(t *testing.T) {
		if a := revoke("web", "web-secret", secret.FromString("x")); a.Status != http.StatusOK {
			t.Errorf("got %d", a.Status)
		}
	})
}

func TestUserinfo(t *testing.T) {
	s := issuertest.Start(t)
	ask := func(token string) issuertest.Answer {
		r, err := http.NewRequest(http.MethodGet, s.URL+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		return s.Do(r)
	}
	tok := s.Tokens("alice", "openid profile email wlcg.groups entitlements")
	a := ask("bearer " + tok.Access.Expose())
	for name, want := range map[string]any{
		"sub": "616c6963-0000-4000-8000-00616c696365", "preferred_username": "alice", "email": "alice@example.org",
	} {
		if a.Body[name] != want {
			t.Errorf("%s is %v, want %v", name, a.Body[name], want)
		}
	}
	if g, _ := a.Body["wlcg.groups"].([]any); len(g) != 2 {
		t.Errorf("groups: %v", a.Body["wlcg.groups"])
	}
	if a := ask("Bearer " + s.Tokens("alice", "openid").Access.Expose()); len(a.Body) != 1 {
		t.Errorf("more than asked: %v", a.Body)
	}
	if a := ask(""); a.Status != 401 || strings.Contains(a.Header.Get("WWW-Authenticate"), "error") {
		t.Errorf("no token: %d %q", a.Status, a.Header.Get("WWW-Authenticate"))
	}
	wantError(t, ask("Bearer x"), 401, "invalid_token")
	wantError(t, ask("Bearer "+tok.ID.Expose()), 401, "invalid_token")
	wantError(t, ask("Bearer "+s.Tokens("alice", "storage.read:/").Access.Expose()), 403, "insufficient_scope")
}
