package flow_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// TestProviderKeyClient is a client without a secret at a provider of another make: it authenticates with its key, and
// pushes its authorization requests.
func TestProviderKeyClient(t *testing.T) {
	o := startOP(t)
	if o.md.PushedEndpoint == "" {
		t.Fatal("the provider offers no pushed authorization requests: the test does not test")
	}
	for _, alg := range []jose.Alg{jose.ES256, jose.PS256} {
		t.Run(string(alg), func(t *testing.T) { keyClientFacts(t, o, alg) })
	}
}

func keyClientFacts(t *testing.T, o *op, alg jose.Alg) {
	key, err := jose.GenerateKey(alg, "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	const redirect = "https://mytoken.example.org/redirect"
	reg, err := registration.Register(t.Context(), o.http, o.md.RegistrationEndpoint, registration.Request{
		RedirectURIs: []string{redirect}, AuthMethod: "private_key_jwt", ApplicationType: "web",
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		Extra: map[string]any{
			"jwks":                            map[string]any{"keys": []json.RawMessage{public}},
			"token_endpoint_auth_signing_alg": string(alg),
		},
	}, secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []flow.AssertionAudience{flow.ForIssuer, flow.ForTokenEndpoint} {
		t.Run("for_"+string(to), func(t *testing.T) {
			o.ClearLog()
			c := flow.New(o.http, o.md, flow.ClientConfig{ID: reg.ID, Key: key, Assertion: to}, flow.Options{
				Keys: o.keys, Push: flow.PushOffered, Audience: flow.AudienceParam,
			})
			l, err := c.StartCode(t.Context(), flow.CodeRequest{
				Request: flow.Request{Scope: scopes("openid offline_access compute.read")}, RedirectURI: redirect,
			})
			if err != nil {
				t.Fatal(err)
			}
			back, err := url.Parse(o.Login(l.URL, "alice"))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := l.Finish(t.Context(), back.Query())
			if err != nil || tok.Subject == "" || tok.Refresh.Empty() {
				t.Fatalf("%+v, %v", tok, err)
			}
			next, err := c.Refresh(t.Context(), tok.Refresh, flow.Request{
				Scope: scopes("compute.read"), Audience: []string{"se.example.org:8443"},
			})
			if err != nil || aud(t, next.Access) != "se.example.org:8443" {
				t.Fatalf("%v", err)
			}
			if err := c.Revoke(t.Context(), next.Refresh, "refresh_token"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Refresh(t.Context(), next.Refresh, flow.Request{}); !flow.NeedsLogin(err) {
				t.Fatalf("revoked, and %v", err)
			}
			if first := o.Log("/auth")[0].Query; len(first) != 2 || first["request_uri"] == nil {
				t.Fatalf("the browser took along %v", first)
			}
			for _, e := range o.Log("/request", "/token", "/token/revocation") {
				if e.Form["client_assertion"] == nil || e.Form["client_secret"] != nil || e.Auth != "" {
					t.Errorf("%s: %+v", e.Path, e)
				}
			}
		})
	}
}
