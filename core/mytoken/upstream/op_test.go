package upstream_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// peer is a running provider, of whatever make, with a browser.
type peer struct {
	issuer  string
	caFile  string
	browser func(url, user string) string
	approve func(url, user string)
}

// TestRealProviders is the way of a mytoken through a provider of another make, and through our own.
func TestRealProviders(t *testing.T) {
	t.Run("npm", func(t *testing.T) {
		op := services.OP(t)
		realFacts(t, peer{issuer: op.Issuer, browser: op.Login, approve: op.ApproveDevice})
	})
	t.Run("npm_https", func(t *testing.T) {
		op := services.OP(t, "TLS=1")
		realFacts(t, peer{issuer: op.Issuer, caFile: op.CAFile, browser: op.Login, approve: op.ApproveDevice})
	})
	t.Run("own", func(t *testing.T) {
		s := issuertest.Start(t)
		realFacts(t, peer{issuer: s.URL, browser: s.Login, approve: s.ApproveDevice})
	})
}

func (p peer) provider(t *testing.T, style upstream.Style) *upstream.Provider {
	t.Helper()
	r := registry(t, upstream.Options{}, upstream.Config{
		Issuer: p.issuer, ClientID: "web", Secret: secret.FromString("web-secret"), Audience: style, CAFile: p.caFile,
	})
	if bad := r.Degraded(); len(bad) > 0 {
		t.Fatalf("%+v", bad)
	}
	return only(t, r)
}

func realFacts(t *testing.T, op peer) {
	p := op.provider(t, upstream.Audience)
	s := draft("wlcg.groups storage.read:/data compute.read compute.create")
	s.RedirectURI = "http://localhost/redirect"
	to, err := p.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(op.browser(to, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	f := landing(s, back.Query())
	a, err := op.provider(t, upstream.Audience).Finish(t.Context(), f) // another process
	if err != nil || a.Subject == "" || a.Refresh.Empty() {
		t.Fatalf("%+v %v", a, err)
	}
	rt := a.Refresh
	get := func(t *testing.T, asked rules.Candidate) (rules.Granted, error) {
		t.Helper()
		req, err := p.Ask(asked)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := p.Refresh(t.Context(), rt, req)
		if err != nil {
			return rules.Granted{}, err
		}
		if !tok.Refresh.Empty() {
			rt = tok.Refresh
		}
		return p.Check(asked, tok)
	}
	t.Run("a_part_of_it", func(t *testing.T) {
		g, err := get(t, candidate("storage.read:/data compute.read"))
		if err != nil || slices.Contains(g.Scopes, "compute.create") {
			t.Fatalf("%+v %v", g, err)
		}
	})
	t.Run("audience_that_is_no_uri", func(t *testing.T) {
		g, err := get(t, candidate("compute.read", "fedcloud"))
		if err != nil || !slices.Equal(g.Audience, []string{"fedcloud"}) {
			t.Fatalf("%+v %v", g, err)
		}
	})
	t.Run("more_than_the_login_has", func(t *testing.T) {
		if g, err := get(t, candidate("compute.cancel")); err == nil {
			t.Fatalf("%+v", g)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		if err := p.Revoke(t.Context(), rt); err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, candidate("compute.read")); !flow.NeedsLogin(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("refused_by_the_person", func(t *testing.T) {
		no := draft("openid")
		no.RedirectURI = "http://localhost/redirect"
		to, err := p.Start(t.Context(), no)
		if err != nil {
			t.Fatal(err)
		}
		back, err := url.Parse(op.browser(to, "deny"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Finish(t.Context(), landing(no, merge(back.Query(), "code"))); !errors.Is(err, flow.ErrAccessDenied) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("device", func(t *testing.T) {
		d, err := p.StartDevice(t.Context(), draft("compute.read"))
		if err != nil || d.URIComplete == "" {
			t.Fatalf("%+v %v", d, err)
		}
		op.approve(d.URIComplete, "bob")
		who, err := p.PollDevice(t.Context(), d, f.From)
		if err != nil || who.Subject == a.Subject || who.Refresh.Empty() {
			t.Fatalf("%+v %v", who, err)
		}
	})
	t.Run("resource", func(t *testing.T) {
		const se = "https://wlcg.cern.ch/jwt/v1/any"
		rp := op.provider(t, upstream.Resource)
		s := draft("compute.read", se)
		s.RedirectURI = "http://localhost/redirect"
		to, err := rp.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		back, _ := url.Parse(op.browser(to, "alice"))
		a, err := rp.Finish(t.Context(), landing(s, back.Query()))
		if err != nil || !slices.Equal(a.Granted.Audience, []string{se}) {
			t.Fatalf("%+v %v", a, err)
		}
	})
}

// merge is a query that says nothing of these parameters.
func merge(q url.Values, without ...string) url.Values {
	for _, name := range without {
		q[name] = nil
	}
	return q
}
