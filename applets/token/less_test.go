package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// jwt is a token with these claims and no signature anybody could check.
func jwt(t *testing.T, claims map[string]any) secret.Text {
	t.Helper()
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	return secret.FromString(part([]byte(`{"alg":"ES256"}`)) + "." + part(b) + "." + part([]byte("signature")))
}

// TestLess: what was asked for and is neither in the answer nor in the token is named, and nothing else.
func TestLess(t *testing.T) {
	const anybody = "https://wlcg.cern.ch/jwt/v1/any"
	opaque := func(*testing.T) secret.Text { return secret.FromString("opaque") }
	with := func(claims map[string]any) func(*testing.T) secret.Text {
		return func(t *testing.T) secret.Text { return jwt(t, claims) }
	}
	for name, c := range map[string]struct {
		scope, audience string
		said            string
		token           func(*testing.T) secret.Text
		want            string
	}{
		"nothing asked for":                   {"", "", "a", with(map[string]any{"aud": "x"}), ""},
		"as asked, says the answer":           {"a b", "", "b a", opaque, ""},
		"less, says the answer":               {"a b c", "", "a", opaque, `scope "b c"`},
		"the answer says nothing":             {"a b", "", "", opaque, ""},
		"less, says the token":                {"a b", "", "", with(map[string]any{"scope": "a"}), `scope "b"`},
		"the token has what the answer lacks": {"a b", "", "a", with(map[string]any{"scope": "a b"}), ""},
		"a capability counts in the token": {
			"storage.read:/", "", "storage.read:/", with(map[string]any{"scope": "openid"}), `scope "storage.read:/"`,
		},
		"a path below what was granted": {
			"storage.read:/home/alice", "", "storage.read:/home", with(map[string]any{"scope": "storage.read:/home"}), "",
		},
		"a path above what was granted": {"storage.read:/", "", "storage.read:/home", opaque, `scope "storage.read:/"`},
		"a path beside what was granted": {
			"storage.read:/homework", "", "storage.read:/home", opaque, `scope "storage.read:/homework"`,
		},
		"a scope that asks for claims stays out of the token": {
			"openid profile", "", "openid profile", with(map[string]any{"scope": "a"}), "",
		},
		"offline_access is about another token": {"offline_access", "", "a", with(map[string]any{"scope": "a"}), ""},
		"a group that is there": {
			"wlcg.groups:/cms", "", "", with(map[string]any{"wlcg.ver": "1.0", "wlcg.groups": []string{"/cms"}}), "",
		},
		"a group that is not": {
			"wlcg.groups:/cms/x", "", "wlcg.groups:/cms/x",
			with(map[string]any{"wlcg.ver": "1.0", "wlcg.groups": []string{"/cms"}}), `scope "wlcg.groups:/cms/x"`,
		},
		"for whom it was asked":         {"", "x y", "", with(map[string]any{"aud": []string{"y", "x", "z"}}), ""},
		"for fewer":                     {"", "x y", "", with(map[string]any{"aud": "x"}), `audience "y"`},
		"for nobody by name":            {"", "x", "", with(map[string]any{}), `audience "x"`},
		"for everybody":                 {"", "x", "", with(map[string]any{"aud": anybody}), ""},
		"an opaque token names nobody":  {"", "x", "", opaque, ""},
		"an audience is compared whole": {"", "https://x", "", with(map[string]any{"aud": "https://x/"}), `audience "https://x"`},
		"both": {
			"a b", "x", "a", with(map[string]any{"scope": "a", "aud": "y"}), `scope "b" audience "x"`,
		},
		"claims that make no sense": {"a", "x", "", with(map[string]any{"scope": 5, "aud": 7}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(less(c.scope, c.audience, result{scope: c.said, value: c.token(t)}), " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestTokenStaysWithItsProvider: a token that was only found is not shown to another provider.
func TestTokenStaysWithItsProvider(t *testing.T) {
	found := jwt(t, map[string]any{"iss": "https://op.example.org"}).Expose()
	vars := map[string]string{"BEARER_TOKEN": found}
	for _, job := range []string{"--exchange", "--revoke"} {
		got := runIn(t, vars, false, job, "--client-id", "c", "https://127.0.0.1:1")
		const said = "oidcbox token: the token of BEARER_TOKEN is from https://op.example.org and not from https://127.0.0.1:1\n"
		if got.code != cli.No || got.out != "" || !strings.HasPrefix(got.errOut, said) || strings.Contains(got.errOut, found) {
			t.Errorf("%s: %+v", job, got)
		}
	}
	// Its own provider may have it; that one is away.
	vars["BEARER_TOKEN"] = jwt(t, map[string]any{"iss": "http://127.0.0.1:1/"}).Expose()
	if got := runIn(t, vars, false, "--exchange", "--client-id", "c", "http://127.0.0.1:1"); got.code != cli.Temporary {
		t.Errorf("%+v", got)
	}
}
