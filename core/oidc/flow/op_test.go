package flow_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// The facts of this file are shown against a provider of another make.

const anyAudience = "https://wlcg.cern.ch/jwt/v1/any"

func scopes(s string) []string { return strings.Fields(s) }

// op is a client at a running provider.
type op struct {
	*services.Provider
	http *httpc.Client
	md   *provider.Metadata
	keys *provider.Keys
}

func startOP(t *testing.T, env ...string) *op {
	t.Helper()
	p := services.OP(t, env...)
	hc := newHTTP(t, httpc.Options{CAFile: p.CAFile})
	md, err := provider.Discover(t.Context(), hc, p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{})
	t.Cleanup(keys.Close)
	return &op{Provider: p, http: hc, md: md, keys: keys}
}

func newHTTP(t *testing.T, o httpc.Options) *httpc.Client {
	t.Helper()
	hc, err := httpc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	return hc
}

func (o *op) client(cc flow.ClientConfig, style flow.AudienceStyle) *flow.Client {
	return flow.New(o.http, o.md, cc, flow.Options{Keys: o.keys, Audience: style})
}

func (o *op) native() *flow.Client { return o.client(flow.ClientConfig{ID: "native"}, "") }

func (o *op) web(style flow.AudienceStyle) *flow.Client {
	return o.client(flow.ClientConfig{ID: "web", Secret: secret.FromString("web-secret")}, style)
}

// login runs the whole code flow, redirect listener included.
func (o *op) login(t *testing.T, c *flow.Client, user string, r flow.Request) (flow.Tokens, error) {
	t.Helper()
	l, err := flow.Listen([]string{"http://localhost:0/redirect"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	login, err := c.StartCode(t.Context(), flow.CodeRequest{Request: r, RedirectURI: l.RedirectURI()})
	if err != nil {
		t.Fatal(err)
	}
	browser := make(chan struct{})
	go func() {
		defer close(browser)
		if final := o.Login(login.URL, user); final != "" {
			if resp, err := http.Get(final); err == nil {
				resp.Body.Close()
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := l.Wait(ctx, login.State)
	<-browser
	if err != nil {
		t.Fatal(err)
	}
	return login.Finish(t.Context(), q)
}

func (o *op) mustLogin(t *testing.T, c *flow.Client, scope string) flow.Tokens {
	t.Helper()
	tok, err := o.login(t, c, "alice", flow.Request{Scope: scopes(scope)})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// claims looks into a token without checking it.
func claims(t *testing.T, at secret.Text) jose.Object {
	t.Helper()
	m, err := jose.Parse([]byte(at.Expose()))
	if err != nil {
		t.Fatal(err)
	}
	o, err := jose.StrictObject(m.Payload, 16, 200)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func aud(t *testing.T, at secret.Text) string {
	t.Helper()
	list, err := claims(t, at).OneOrMore("aud")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// TestProvider is what one provider can show without being restarted or set up in another way.
func TestProvider(t *testing.T) {
	o := startOP(t)
	for _, facts := range []struct {
		name string
		show func(*testing.T, *op)
	}{
		{"code", codeFacts},
		{"refresh", refreshFacts},
		{"audience", audienceFacts},
		{"device", deviceFacts},
		{"machine_tokens", machineTokensFacts},
		{"inspection", inspectionFacts},
		{"unavailable", unavailableFacts},
		{"dpop", dpopFacts},
	} {
		t.Run(facts.name, func(t *testing.T) {
			o.ClearFaults()
			o.ClearLog()
			facts.show(t, o)
		})
	}
}

func codeFacts(t *testing.T, o *op) {
	t.Run("public_client_with_pkce", func(t *testing.T) {
		o.ClearLog()
		tok := o.mustLogin(t, o.native(), "openid offline_access wlcg.groups storage.read:/data")
		if tok.Access.Empty() || tok.Refresh.Empty() || tok.ID.Empty() || tok.Subject == "" {
			t.Fatalf("tokens missing: %+v", tok)
		}
		if tok.Type != "Bearer" || time.Until(tok.Expires) < 30*time.Minute {
			t.Fatalf("type %q, expires %v", tok.Type, tok.Expires)
		}
		if !strings.Contains(tok.Scope, "storage.read:/data") {
			t.Fatalf("scope %q", tok.Scope)
		}
		if got := aud(t, tok.Access); got != anyAudience {
			t.Fatalf("aud %q", got)
		}
		auth := o.Log("/auth")[0].Query
		if auth["code_challenge_method"] != "S256" || auth["nonce"] == nil || auth["prompt"] != "consent" {
			t.Fatalf("authorization request %v", auth)
		}
		token := o.Log("/token")[0]
		if token.Auth != "" || token.Form["client_secret"] != nil || token.Form["code_verifier"] == nil {
			t.Fatalf("token request %+v", token)
		}
	})
	t.Run("confidential_client_uses_basic", func(t *testing.T) {
		o.ClearLog()
		if tok := o.mustLogin(t, o.web(""), "openid"); tok.Subject == "" || !tok.Refresh.Empty() {
			t.Fatalf("tokens %+v", tok)
		}
		token := o.Log("/token")[0]
		if token.Auth != "Basic" || token.Form["client_secret"] != nil {
			t.Fatalf("token request %+v", token)
		}
	})
	t.Run("refusal_is_access_denied", func(t *testing.T) {
		_, err := o.login(t, o.native(), "deny", flow.Request{Scope: scopes("openid")})
		if !errors.Is(err, flow.ErrAccessDenied) || flow.Temporary(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("code_is_good_once", func(t *testing.T) {
		c := o.native()
		login, err := c.StartCode(t.Context(), flow.CodeRequest{
			Request: flow.Request{Scope: scopes("openid")}, RedirectURI: "http://localhost:4242/",
		})
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(o.Login(login.URL, "bob"))
		if _, err := login.Finish(t.Context(), u.Query()); err != nil {
			t.Fatal(err)
		}
		if _, err := login.Finish(t.Context(), u.Query()); !errors.Is(err, flow.ErrUsed) {
			t.Fatalf("second finish: %v", err)
		}
	})
	t.Run("wrong_verifier_needs_login", func(t *testing.T) {
		c := o.native()
		req := flow.CodeRequest{Request: flow.Request{Scope: scopes("openid")}, RedirectURI: "http://localhost:4242/"}
		one, _ := c.StartCode(t.Context(), req)
		req.State = one.State
		two, _ := c.StartCode(t.Context(), req)
		u, _ := url.Parse(o.Login(one.URL, "alice"))
		if _, err := two.Finish(t.Context(), u.Query()); !flow.NeedsLogin(err) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestProviderHTTPS(t *testing.T) {
	o := startOP(t, "TLS=1")
	if tok := o.mustLogin(t, o.native(), "openid offline_access"); tok.Subject == "" {
		t.Fatal("no subject")
	}
	strange := newHTTP(t, httpc.Options{})
	_, err := provider.Discover(t.Context(), strange, o.Issuer)
	if err == nil || httpc.Temporary(err) {
		t.Fatalf("unknown CA: %v", err)
	}
}

func TestProviderSignatures(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			o := startOP(t, "OP_AT_ALG="+alg)
			reg, err := registration.Register(t.Context(), o.http, o.md.RegistrationEndpoint, registration.Request{
				RedirectURIs: []string{"http://localhost/redirect"}, AuthMethod: "none",
				GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
				Extra: map[string]any{"id_token_signed_response_alg": alg},
			}, secret.Text{})
			if err != nil {
				t.Fatal(err)
			}
			tok := o.mustLogin(t, o.client(flow.ClientConfig{ID: reg.ID}, ""), "openid")
			m, err := jose.Parse([]byte(tok.ID.Expose()))
			if err != nil || string(m.Header.Alg) != alg || tok.Subject == "" {
				t.Fatalf("alg %v, subject %q, %v", m, tok.Subject, err)
			}
		})
	}
}
