package remote_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// The facts of this file are shown against a provider of another make.

const api = "https://api.example.org"

// op is a provider with a client that logs people in and one that may introspect.
type op struct {
	*services.Provider
	http *httpc.Client
	web  *flow.Client
}

func startOP(t *testing.T, env ...string) *op {
	t.Helper()
	p := services.OP(t, env...)
	hc, err := httpc.New(httpc.Options{CAFile: p.CAFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	md, err := provider.Discover(t.Context(), hc, p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	cc := flow.ClientConfig{ID: "web", Secret: secret.FromString("web-secret"), OAuth2: true}
	return &op{Provider: p, http: hc, web: flow.New(hc, md, cc, flow.Options{Audience: flow.AudienceResource})}
}

// login gives the tokens of alice for a resource, or for none.
func (o *op) login(t *testing.T, r flow.Request) flow.Tokens {
	t.Helper()
	login, err := o.web.StartCode(t.Context(), flow.CodeRequest{Request: r, RedirectURI: "http://localhost/redirect"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(o.Login(login.URL, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := login.Finish(t.Context(), u.Query())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// source asks with no cache to speak of.
func (o *op) source(t *testing.T, edit func(*remote.Issuer)) *remote.Source {
	t.Helper()
	i := remote.Issuer{
		URL: o.Issuer, Introspection: true, ClientID: "rs", ClientSecret: secret.FromString("rs-secret"), Opaque: true,
		Cache: time.Nanosecond,
	}
	if edit != nil {
		edit(&i)
	}
	s, err := remote.New([]remote.Issuer{i}, remote.Options{HTTP: o.http})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func onlyUserinfo(i *remote.Issuer) { i.Introspection, i.Userinfo = false, true }

func TestProviderOpaque(t *testing.T) {
	o := startOP(t, "OP_AT_FORMAT=opaque")
	forAPI := o.login(t, flow.Request{
		Scope: []string{"openid", "offline_access", "storage.read:/data"}, Audience: []string{api},
	})
	forNone := o.login(t, flow.Request{Scope: []string{"openid", "profile"}})
	for name, tok := range map[string]flow.Tokens{"for_a_resource": forAPI, "for_none": forNone} {
		if !remote.IsOpaque([]byte(tok.Access.Expose())) {
			t.Fatalf("%s: the provider's token counts as no opaque one", name)
		}
	}
	t.Run("introspection", func(t *testing.T) {
		iss, said, err := o.source(t, nil).Opaque(t.Context(), []byte(forAPI.Access.Expose()), "")
		if err != nil {
			t.Fatal(err)
		}
		if c := said.Claims; iss != o.Issuer || c.Subject == "" || !slices.Equal(c.Audience, []string{api}) ||
			!slices.Contains(c.Scopes, "storage.read:/data") || time.Until(c.Expiry) < time.Minute {
			t.Errorf("%s said %+v", iss, c)
		}
	})
	t.Run("userinfo", func(t *testing.T) {
		_, said, err := o.source(t, onlyUserinfo).Opaque(t.Context(), []byte(forNone.Access.Expose()), "")
		if err != nil {
			t.Fatal(err)
		}
		if !said.Userinfo.Has("name") || said.Claims.Subject == "" {
			t.Errorf("said %+v", said)
		}
	})
	t.Run("both_speak_of_one_person", func(t *testing.T) {
		s := o.source(t, func(i *remote.Issuer) { i.Userinfo = true })
		if _, _, err := s.Opaque(t.Context(), []byte(forNone.Access.Expose()), ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("refresh_token", func(t *testing.T) {
		_, _, err := o.source(t, nil).Opaque(t.Context(), []byte(forAPI.Refresh.Expose()), "")
		if !errors.Is(err, remote.ErrKind) && !errors.Is(err, remote.ErrInactive) {
			t.Errorf("a refresh token: %v", err)
		}
	})
	t.Run("invented", func(t *testing.T) {
		for _, edit := range []func(*remote.Issuer){nil, onlyUserinfo} {
			_, _, err := o.source(t, edit).Opaque(t.Context(), []byte("nobody-has-ever-issued-this"), "")
			if !errors.Is(err, remote.ErrInactive) {
				t.Error(err)
			}
		}
	})
	t.Run("wrong_secret_is_our_fault", func(t *testing.T) {
		s := o.source(t, func(i *remote.Issuer) { i.ClientSecret = secret.FromString("other") })
		_, _, err := s.Opaque(t.Context(), []byte(forAPI.Access.Expose()), "")
		if !errors.Is(err, remote.ErrClient) || !errors.Is(err, remote.ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		s := o.source(t, nil)
		if err := o.web.Revoke(t.Context(), forNone.Access, "access_token"); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Opaque(t.Context(), []byte(forNone.Access.Expose()), "")
		if !errors.Is(err, remote.ErrInactive) {
			t.Error(err)
		}
	})
}

func TestProviderSigned(t *testing.T) {
	o := startOP(t)
	tok := o.login(t, flow.Request{Scope: []string{"openid", "profile"}})
	raw := []byte(tok.Access.Expose())
	m, err := jose.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := claims.Parse(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	s := o.source(t, func(i *remote.Issuer) { i.Userinfo = true })
	t.Run("active", func(t *testing.T) {
		said, err := s.Ask(t.Context(), o.Issuer, raw, &signed)
		if err != nil || said.Claims.Subject != signed.Subject || !said.Userinfo.Has("name") {
			t.Errorf("%+v, %v", said, err)
		}
	})
	t.Run("another_persons_claims_beside_it", func(t *testing.T) {
		other := signed
		other.Subject = "somebody-else"
		if _, err := s.Ask(t.Context(), o.Issuer, raw, &other); !errors.Is(err, remote.ErrContradiction) {
			t.Error(err)
		}
	})
	t.Run("endpoint_down", func(t *testing.T) {
		o.Fault(services.Fault{Path: "/token/introspection", Status: 503, Times: 1, RetryAfter: 7})
		_, err := o.source(t, nil).Ask(t.Context(), o.Issuer, raw, &signed)
		var e *remote.UnavailableError
		if !errors.As(err, &e) || e.RetryAfter != 7*time.Second {
			t.Error(err)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		if err := o.web.Revoke(t.Context(), tok.Access, "access_token"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ask(t.Context(), o.Issuer, raw, &signed); !errors.Is(err, remote.ErrInactive) {
			t.Error(err)
		}
	})
}
