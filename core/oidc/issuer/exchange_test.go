package issuer_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	accessType  = "urn:ietf:params:oauth:token-type:access_token"
	refreshType = "urn:ietf:params:oauth:token-type:refresh_token"
)

func exchangeForm(subject secret.Text, change ...string) url.Values {
	return with(url.Values{
		"grant_type": {issuer.GrantExchange}, "subject_token": {subject.Expose()}, "subject_token_type": {accessType},
	}, change...)
}

func TestExchangeNarrows(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, c.option)
	subject := s.Tokens("alice", "openid offline_access wlcg.groups storage.read:/data", url.Values{
		"audience": {"https://se1.example https://se2.example"},
	}).Access
	c.pass(10 * time.Minute)
	cases := []struct{ name, scope, aud, wantScope, wantAud, wantError string }{
		{"all of it", "", "", "openid wlcg.groups storage.read:/data", "", ""},
		{"a part", "storage.read:/data/x", "https://se2.example", "storage.read:/data/x", "https://se2.example", ""},
		{"more of the path", "storage.read:/", "", "", "", "invalid_scope"},
		{"another right", "storage.create:/data", "", "", "", "invalid_scope"},
		{"a refresh token", "storage.read:/data offline_access", "", "", "", "invalid_scope"},
		{"another audience", "storage.read:/data", "https://se3.example", "", "", "invalid_target"},
		{"any audience", "storage.read:/data", issuer.AnyAudience, "", "", "invalid_target"},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			a := s.Token("service", "service-secret", exchangeForm(subject, "scope", x.scope, "audience", x.aud))
			if x.wantError != "" {
				wantError(t, a, 400, x.wantError)
				return
			}
			at := access(t, s, wantOK(t, a))
			if at["scope"] != x.wantScope || at["client_id"] != "service" {
				t.Errorf("claims: %v", at)
			}
			if x.wantAud != "" && at["aud"] != x.wantAud {
				t.Errorf("aud is %v", at["aud"])
			}
			if act, _ := at["act"].(map[string]any); act["sub"] != "service" {
				t.Errorf("act is %v", at["act"])
			}
			if a.Body["issued_token_type"] != accessType || a.Body["refresh_token"] != nil || a.Body["id_token"] != nil {
				t.Errorf("answer: %v", a.Body["issued_token_type"])
			}
			if life := a.Body["expires_in"].(float64); life != 3000 {
				t.Errorf("lives %v s, longer or shorter than the subject token", life)
			}
		})
	}
	t.Run("any audience may become one", func(t *testing.T) {
		any := s.Tokens("alice", "storage.read:/").Access
		a := s.Token("service", "service-secret", exchangeForm(any, "audience", "https://x.example"))
		at := access(t, s, wantOK(t, a))
		if at["aud"] != "https://x.example" {
			t.Errorf("aud is %v", at["aud"])
		}
	})
	t.Run("it dies with the family of the subject token", func(t *testing.T) {
		tok := s.Tokens("alice", "offline_access storage.read:/")
		part := wantOK(t, s.Token("service", "service-secret", exchangeForm(tok.Access)))
		s.Post("/revoke", "web", "web-secret", url.Values{"token": {tok.Refresh.Expose()}})
		if active(t, s, part) {
			t.Error("still active")
		}
	})
}

func TestExchangeRefuses(t *testing.T) {
	s := issuertest.Start(t)
	tok := s.Tokens("alice", "openid offline_access storage.read:/")
	other := issuertest.Start(t)
	foreign := other.Tokens("alice", "openid").Access
	cases := []struct {
		name string
		form url.Values
		code string
	}{
		{"no subject token", exchangeForm(secret.Text{}, "subject_token", ""), "invalid_request"},
		{"a made-up one", exchangeForm(secret.FromString("a.b.c")), "invalid_request"},
		{"one of another issuer", exchangeForm(foreign), "invalid_request"},
		{"an ID token", exchangeForm(tok.ID), "invalid_request"},
		{"a refresh token", exchangeForm(tok.Refresh), "invalid_request"},
		{"a refresh token called one", exchangeForm(tok.Refresh, "subject_token_type", refreshType), "invalid_request"},
		{"an actor", exchangeForm(tok.Access, "actor_token", "x"), "invalid_request"},
		{"a kind we do not make", exchangeForm(tok.Access, "requested_token_type", "urn:x"), "invalid_request"},
		{"a refresh token as the answer", exchangeForm(tok.Access, "requested_token_type", refreshType), "invalid_scope"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, s.Token("service", "service-secret", c.form), 400, c.code)
		})
	}
	t.Run("a revoked one", func(t *testing.T) {
		s.Post("/revoke", "web", "web-secret", url.Values{"token": {tok.Access.Expose()}})
		wantError(t, s.Token("service", "service-secret", exchangeForm(tok.Access)), 400, "invalid_request")
	})
	t.Run("a public client", func(t *testing.T) {
		wantError(t, s.Token("native", "", exchangeForm(tok.Access)), 400, "unauthorized_client")
	})
}

// TestRucioAndFTS is the journey of a third-party copy: Rucio may submit transfers to FTS, and FTS gets from that what
// two storage elements want, for as long as the transfer waits.
func TestRucioAndFTS(t *testing.T) {
	s := issuertest.Start(t)
	submit := wantOK(t, s.Token("rucio", "rucio-secret", url.Values{
		"grant_type": {issuer.GrantClient}, "scope": {"fts:submit-transfer"}, "audience": {"https://fts.example"},
	}))
	widen := func(change ...string) url.Values {
		return exchangeForm(submit, append([]string{"scope", "storage.read:/ storage.create:/ offline_access"}, change...)...)
	}
	two := widen()
	two["audience"] = []string{"https://se1.example", "https://se2.example"}
	a := s.Token("fts", "fts-secret", two)
	at := access(t, s, wantOK(t, a))
	if aud, _ := at["aud"].([]any); len(aud) != 2 || aud[0] != "https://se1.example" || aud[1] != "https://se2.example" {
		t.Errorf("aud is %v", at["aud"])
	}
	if at["scope"] != "storage.read:/ storage.create:/ offline_access" || at["sub"] != "rucio" {
		t.Errorf("claims: %v", at)
	}
	rt := text(a, "refresh_token")
	a = s.Token("fts", "fts-secret", refreshForm(rt, "scope", "storage.read:/", "audience", "https://se1.example"))
	if at := access(t, s, wantOK(t, a)); at["aud"] != "https://se1.example" || at["scope"] != "storage.read:/" {
		t.Errorf("refreshed: %v", at)
	}

	t.Run("audiences in one value", func(t *testing.T) {
		a := s.Token("fts", "fts-secret", widen("audience", "https://se2.example https://se1.example"))
		if aud, _ := access(t, s, wantOK(t, a))["aud"].([]any); len(aud) != 2 {
			t.Errorf("aud is %v", aud)
		}
	})
	t.Run("a refresh token as the answer", func(t *testing.T) {
		a := s.Token("fts", "fts-secret", widen("requested_token_type", refreshType))
		rt := wantOK(t, a)
		if a.Body["token_type"] != "N_A" || a.Body["issued_token_type"] != refreshType || a.Body["refresh_token"] != nil {
			t.Errorf("answer: %v %v", a.Body["token_type"], a.Body["issued_token_type"])
		}
		wantOK(t, s.Token("fts", "fts-secret", refreshForm(rt)))
	})
	t.Run("a part of a token without a family", func(t *testing.T) {
		if !active(t, s, wantOK(t, s.Token("service", "service-secret", exchangeForm(submit)))) {
			t.Error("it is not active")
		}
	})
	user := s.Tokens("alice", "openid storage.read:/", url.Values{"audience": {"https://fts.example"}}).Access
	elsewhere := wantOK(t, s.Token("rucio", "rucio-secret", url.Values{
		"grant_type": {issuer.GrantClient}, "scope": {"fts:submit-transfer"}, "audience": {"https://other.example"},
	}))
	refused := []struct {
		name, client, secret string
		form                 url.Values
		code                 string
	}{
		{"another client", "service", "service-secret", widen(), "invalid_scope"},
		{"more than the row", "fts", "fts-secret", widen("scope", "storage.modify:/"), "invalid_scope"},
		{
			"the row and something of the subject", "fts", "fts-secret",
			widen("scope", "storage.read:/ fts:submit-transfer"), "invalid_scope",
		},
		{"another storage element", "fts", "fts-secret", widen("audience", "https://se3.example"), "invalid_scope"},
		{"every storage element", "fts", "fts-secret", widen("audience", issuer.AnyAudience), "invalid_scope"},
		{
			"a subject without the right to submit", "fts", "fts-secret",
			exchangeForm(user, "scope", "storage.create:/"), "invalid_scope",
		},
		{
			"a subject for another service", "fts", "fts-secret",
			exchangeForm(elsewhere, "scope", "storage.read:/"), "invalid_scope",
		},
	}
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) { wantError(t, s.Token(c.client, c.secret, c.form), 400, c.code) })
	}
}

func TestExchangeKeepsGroupTies(t *testing.T) {
	s := issuertest.Start(t, func(o *issuer.Options) {
		o.Policy = []issuer.ExchangeRule{{
			Client: "service", SubjectClient: "web", Scopes: []string{"compute.create", "storage.read:/"},
			Audiences: []string{issuer.AnyAudience},
		}}
	})
	for user, want := range map[string]string{"alice": "compute.create storage.read:/", "bob": "storage.read:/"} {
		tok := s.Tokens(user, "openid")
		a := s.Token("service", "service-secret", exchangeForm(tok.Access, "scope", "compute.create storage.read:/"))
		if got := access(t, s, wantOK(t, a))["scope"]; got != want {
			t.Errorf("%s got %v, want %s", user, got, want)
		}
	}
}

func TestExchangeChainsEnd(t *testing.T) {
	s := issuertest.Start(t)
	token := s.Tokens("alice", "storage.read:/").Access
	clients := [][2]string{{"service", "service-secret"}, {"fts", "fts-secret"}}
	for n := range 20 {
		c := clients[n%2]
		a := s.Token(c[0], c[1], exchangeForm(token))
		if a.Status != http.StatusOK {
			wantError(t, a, 400, "invalid_request")
			return
		}
		token = text(a, "access_token")
	}
	t.Errorf("a token of %d bytes after 20 exchanges", token.Len())
}

func TestExchangeWithoutSubjectTokenType(t *testing.T) {
	var log bytes.Buffer
	s := issuertest.Start(t, func(o *issuer.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	subject := s.Tokens("alice", "storage.read:/").Access
	wantOK(t, s.Token("service", "service-secret", exchangeForm(subject, "subject_token_type", "")))
	if !strings.Contains(log.String(), "subject_token_type") {
		t.Error("nothing was logged")
	}
	if strings.Contains(log.String(), subject.Expose()) {
		t.Error("the token was logged")
	}
}
