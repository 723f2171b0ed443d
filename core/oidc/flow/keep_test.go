package flow_test

import (
	"context"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// slowKeys is a key source that says when it is asked: it would have to fetch the keys now.
type slowKeys struct {
	flow.KeySource
	asked func()
}

func (k slowKeys) Candidates(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error) {
	k.asked()
	return k.KeySource.Candidates(ctx, issuer, h)
}

// TestKeep: whoever keeps refresh tokens has the new one before keys for the ID token beside it are fetched, and has it
// also when the rest of the answer is useless.
func TestKeep(t *testing.T) {
	f := newFake(t)
	id := f.sign(t, "", map[string]any{
		"iss": f.URL, "sub": "u", "aud": "box", "iat": f.now.Unix(), "exp": f.now.Unix() + 60,
	})
	for _, tt := range []struct {
		name, body string
		keys       int
		want       string
	}{
		{
			"before_the_keys_are_fetched", `{"access_token":"at","refresh_token":"new-token","id_token":"` + id + `"}`, 1,
			"new-token",
		},
		{"no_new_token", `{"access_token":"at","id_token":"` + id + `"}`, 1, ""},
		{"useless_answer", `{"refresh_token":"new-token"}`, 0, "new-token"},
		{"token_of_another_type", `{"access_token":"at","token_type":"DPoP","refresh_token":"new-token"}`, 0, "new-token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, tt.body)
			var kept, asked []string
			q := flow.Request{Keep: func(rt secret.Text) { kept = append(kept, rt.Expose()) }}
			c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) {
				o.Keys = slowKeys{f, func() { asked = append(asked, kept...); asked = append(asked, "keys") }}
			})
			tok, _ := c.Refresh(t.Context(), oldRefresh, q)
			if tok.Refresh.Expose() != tt.want {
				t.Errorf("returned %q", tok.Refresh.Expose())
			}
			if tt.want == "" && kept != nil || tt.want != "" && (len(kept) != 1 || kept[0] != tt.want) {
				t.Errorf("kept %q", kept)
			}
			if tt.keys == 0 != (asked == nil) || tt.keys == 1 && tt.want != "" && asked[0] != tt.want {
				t.Errorf("order %q", asked)
			}
		})
	}
}
