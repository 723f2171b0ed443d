package flow_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const accessToken = "access-token-of-the-answer"

func atHash(at string) string {
	sum := sha256.Sum256([]byte(at))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// finish runs a code login whose ID token is made by idToken from good claims.
func (f *fake) finish(t *testing.T, idToken func(good map[string]any) string) (flow.Tokens, error) {
	t.Helper()
	login, err := f.client(t).StartCode(t.Context(), flow.CodeRequest{
		Request: flow.Request{Scope: []string{"openid"}}, RedirectURI: "http://localhost:4242",
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(login.URL)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{
		"iss": f.md.Issuer, "sub": "alice", "aud": "box", "nonce": u.Query().Get("nonce"),
		"exp": f.now.Unix() + 300, "iat": f.now.Unix(), "at_hash": atHash(accessToken),
	}
	f.answersJSON(200, toJSON(t, map[string]any{
		"access_token": accessToken, "token_type": "bearer", "refresh_token": "rt", "id_token": idToken(good),
	}))
	return login.Finish(t.Context(), url.Values{"state": {login.State}, "code": {"c0de"}})
}

// TestIDToken goes through OpenID Connect Core 3.1.3.7.
func TestIDToken(t *testing.T) {
	f := newFake(t)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	without := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	tests := []struct {
		name string
		edit func(map[string]any)
		ok   bool
	}{
		{"all_right", func(map[string]any) {}, true},
		{"audience_as_array", set("aud", []string{"box"}), true},
		{"two_audiences_and_azp", func(c map[string]any) { c["aud"], c["azp"] = []string{"other", "box"}, "box" }, true},
		{"two_audiences_without_azp", set("aud", []string{"other", "box"}), false},
		{"azp_is_another_client", set("azp", "other"), false},
		{"audience_is_another_client", set("aud", "other"), false},
		{"audience_missing", without("aud"), false},
		{"issuer_with_another_slash", set("iss", f.md.Issuer+"/"), false},
		{"issuer_missing", without("iss"), false},
		{"subject_missing", without("sub"), false},
		{"subject_too_long", set("sub", strings.Repeat("x", 256)), false},
		{"subject_is_a_number", set("sub", 7), false},
		{"expired_within_leeway", set("exp", f.now.Unix()-59), true},
		{"expired_past_leeway", set("exp", f.now.Unix()-60), false},
		{"exp_missing", without("exp"), false},
		{"issued_in_the_future", set("iat", f.now.Unix()+61), false},
		{"issued_within_leeway", set("iat", f.now.Unix()+60), true},
		{"iat_missing", without("iat"), false},
		{"not_yet_valid", set("nbf", f.now.Unix()+61), false},
		{"nonce_of_another_login", set("nonce", "other"), false},
		{"nonce_missing", without("nonce"), false},
		{"at_hash_missing", without("at_hash"), true},
		{"at_hash_of_another_token", set("at_hash", atHash("other")), false},
		{"claim_in_another_case", set("Sub", "mallory"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tok, err := f.finish(t, func(good map[string]any) string {
				c := maps.Clone(good)
				tt.edit(c)
				return f.sign(t, "JWT", c)
			})
			if tt.ok && (err != nil || tok.Subject != "alice" || tok.ID.Empty()) {
				t.Fatalf("refused: %v", err)
			}
			if !tt.ok && (!errors.Is(err, flow.ErrIDToken) || !tok.Access.Empty() || tok.Subject != "") {
				t.Fatalf("accepted: %v", err)
			}
		})
	}
}

func TestIDTokenForged(t *testing.T) {
	f := newFake(t)
	other, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	tests := map[string]func(map[string]any) string{
		"unsigned": func(c map[string]any) string { return part(`{"alg":"none"}`) + "." + part(toJSON(t, c)) + "." },
		"signed_with_the_client_secret": func(c map[string]any) string {
			return part(`{"alg":"HS256"}`) + "." + part(toJSON(t, c)) + "." + part("mac")
		},
		"signed_with_another_key_of_the_same_name": func(c map[string]any) string {
			tok, _ := other.Sign("JWT", []byte(toJSON(t, c)))
			return tok.Expose()
		},
		"an_access_token": func(c map[string]any) string { return f.sign(t, "at+jwt", c) },
		"no_token_at_all": func(map[string]any) string { return "hello" },
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			if tok, err := f.finish(t, make); !errors.Is(err, flow.ErrIDToken) || !tok.Refresh.Empty() {
				t.Fatalf("accepted: %v", err)
			}
		})
	}
}

// TestIDTokenAtRefresh: a bad ID token is not believed there either, but the rotated refresh token is not lost with it.
func TestIDTokenAtRefresh(t *testing.T) {
	f := newFake(t)
	f.answersJSON(200, `{"access_token":"at","token_type":"Bearer","refresh_token":"next","id_token":"forged"}`)
	tok, err := f.client(t).Refresh(t.Context(), secret.FromString("old"), flow.Request{})
	if err != nil || tok.Refresh.Expose() != "next" || tok.Access.Expose() != "at" {
		t.Fatalf("%v, %v", tok, err)
	}
	if tok.Subject != "" || !tok.ID.Empty() || !errors.Is(tok.IDError, flow.ErrIDToken) {
		t.Fatalf("a subject was taken from a forged ID token: %v", tok.IDError)
	}
}

// TestIDTokenWithoutKeys: who cannot check takes nothing from it.
func TestIDTokenWithoutKeys(t *testing.T) {
	f := newFake(t)
	f.answersJSON(200, `{"access_token":"at","token_type":"Bearer","id_token":"whatever"}`)
	c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Keys = nil })
	tok, err := c.Refresh(t.Context(), secret.FromString("old"), flow.Request{})
	if err != nil || tok.Subject != "" || !tok.ID.Empty() {
		t.Fatalf("%v, %v", tok, err)
	}
}
