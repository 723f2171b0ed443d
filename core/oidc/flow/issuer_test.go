package flow_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// The facts of this file are those that the npm provider cannot show, against our own issuer.

type own struct {
	*issuertest.Server
	http *httpc.Client
	md   *provider.Metadata
	keys *provider.Keys
}

func startOwn(t *testing.T, edit ...func(*issuer.Options)) *own {
	t.Helper()
	s, hc := issuertest.Start(t, edit...), newHTTP(t, httpc.Options{})
	md, err := provider.Discover(t.Context(), hc, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{})
	t.Cleanup(keys.Close)
	return &own{s, hc, md, keys}
}

func (o *own) client(id, password string, style flow.AudienceStyle) *flow.Client {
	return flow.New(o.http, o.md, flow.ClientConfig{ID: id, Secret: secret.FromString(password)},
		flow.Options{Keys: o.keys, Audience: style})
}

// TestWideningExchange is the journey of a third-party copy: what may submit a transfer becomes, for FTS alone, what
// may read and create at two storage elements, with a refresh token for as long as the copy waits.
func TestWideningExchange(t *testing.T) {
	o := startOwn(t)
	two := []string{"https://se1.example", "https://se2.example"}
	for _, style := range []flow.AudienceStyle{flow.AudienceParam, flow.AudienceJoined} {
		t.Run(string(style), func(t *testing.T) {
			submit, err := o.client("rucio", "rucio-secret", style).ClientCredentials(t.Context(), flow.Request{
				Scope: scopes("fts:submit-transfer"), Audience: []string{"https://fts.example"},
			})
			if err != nil {
				t.Fatal(err)
			}
			fts := o.client("fts", "fts-secret", style)
			r := flow.ExchangeRequest{Subject: submit.Access, Request: flow.Request{
				Scope: scopes("storage.read:/ storage.create:/ offline_access"), Audience: two,
			}}
			tok, err := fts.Exchange(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := aud(t, tok.Access); got != strings.Join(two, " ") {
				t.Errorf("aud %q", got)
			}
			next, err := fts.Refresh(t.Context(), tok.Refresh, flow.Request{
				Scope: scopes("storage.read:/"), Audience: two[:1],
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := aud(t, next.Access); got != two[0] {
				t.Errorf("aud after narrowing %q", got)
			}
			if _, err := o.client("service", "service-secret", style).Exchange(t.Context(), r); err == nil {
				t.Error("another client may do the same")
			}
		})
	}
}

// TestLoginAtIssuerWithPath runs discovery, code and ID token against issuers that are not at the root.
func TestLoginAtIssuerWithPath(t *testing.T) {
	for _, path := range []string{"", "/vo", "/vo/"} {
		t.Run("path_"+path, func(t *testing.T) {
			o := startOwn(t, func(opt *issuer.Options) { opt.URL += path })
			c := o.client("native", "", "")
			l, err := c.StartCode(t.Context(), flow.CodeRequest{
				Request: flow.Request{Scope: scopes("openid offline_access")}, RedirectURI: "http://localhost:4242/redirect",
			})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(o.Login(l.URL, "alice"))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := l.Finish(t.Context(), u.Query())
			if err != nil || tok.Subject == "" || tok.Refresh.Empty() {
				t.Fatalf("%+v, %v", tok, err)
			}
			if iss, _ := claims(t, tok.Access).String("iss"); iss != o.URL {
				t.Fatalf("iss %q, want %q", iss, o.URL)
			}
		})
	}
}

// TestRealSlowDown polls faster than the provider allows, which the npm provider does not mind.
func TestRealSlowDown(t *testing.T) {
	o := startOwn(t)
	c := o.client("native", "", "")
	d, err := c.StartDevice(t.Context(), flow.Request{Scope: scopes("openid")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{flow.ErrAuthorizationPending, flow.ErrSlowDown} {
		if _, err := c.PollDevice(t.Context(), d); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
}

func TestOwnIssuerForgets(t *testing.T) {
	o := startOwn(t)
	c := o.client("web", "web-secret", "")
	tok := o.Tokens("alice", "openid offline_access")
	next, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{})
	if err != nil {
		t.Fatal(err)
	}
	o.Restart(true)
	if next, err = c.Refresh(t.Context(), next.Refresh, flow.Request{}); err != nil {
		t.Fatalf("restarted with its state: %v", err)
	}
	o.Restart(false)
	if _, err = c.Refresh(t.Context(), next.Refresh, flow.Request{}); !flow.NeedsLogin(err) {
		t.Fatalf("restarted without: %v", err)
	}
}
