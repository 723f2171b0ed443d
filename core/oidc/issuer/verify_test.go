package issuer_test

import (
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	profile "github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestVerifierTakesOurTokens: the validation core, with the WLCG profile and keys by discovery, takes access tokens of
// every algorithm, before and after the keys were rotated, and no other kind of token.
func TestVerifierTakesOurTokens(t *testing.T) {
	for _, alg := range []jose.Alg{jose.RS256, jose.ES256, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			s := issuertest.Start(t, func(o *issuer.Options) { o.Alg = alg })
			hc, err := httpc.New(httpc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := verify.New(verify.Config{
				Issuers:   []verify.Issuer{{URL: s.URL, Profiles: []profile.Profile{profile.WLCG}}},
				Audiences: []string{"https://se.example", profile.AnyWLCG}, Keys: provider.NewKeys(hc, provider.KeysOptions{}),
			})
			if err != nil {
				t.Fatal(err)
			}
			before := s.Tokens("alice", "openid storage.read:/ wlcg.groups")
			if err := s.RotateKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, tok := range []issuertest.Tokens{before, s.Tokens("alice", "openid storage.read:/ wlcg.groups")} {
				id, err := v.Verify(t.Context(), []byte(tok.Access.Expose()))
				if err != nil || id.Subject != "616c6963-0000-4000-8000-00616c696365" {
					t.Errorf("access token: %+v, %v", id.Subject, err)
				}
				if _, err := v.Verify(t.Context(), []byte(tok.ID.Expose())); err == nil {
					t.Error("an ID token passed for an access token")
				}
			}
			named := wantOK(t, s.Token("service", "service-secret", with(credentials(), "audience", "https://other.example")))
			var wrong *verify.AudienceError
			if _, err := v.Verify(t.Context(), []byte(named.Expose())); !errors.As(err, &wrong) {
				t.Errorf("a token for another service: %v", err)
			}
		})
	}
}
