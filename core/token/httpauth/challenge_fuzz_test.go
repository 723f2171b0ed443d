package httpauth

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// FuzzChallenge: whatever stands in a refusal, the header is one line in which no value ends early, and the body is
// JSON.
func FuzzChallenge(f *testing.F) {
	f.Add(401, "invalid_token", "token has expired", "storage.read:/", "op")
	f.Add(403, "insufficient_scope", `a", error="x`, "a\\\"b", "\r\nSet-Cookie: x")
	f.Add(400, "ä", "\x00", "\u2028", `"`)
	f.Fuzz(func(t *testing.T, status int, code, description, scope, realm string) {
		r := &gate.Refusal{Status: status, Code: code, Description: description, Scope: []string{scope}}
		c := Challenge{Realm: realm, Scope: []string{scope}, ResourceMetadata: "https://rs.example/" + scope, Algs: []jose.Alg{jose.ES256}}
		for _, s := range []gate.Scheme{gate.Bearer, gate.DPoP} {
			a := c.Answer(s, r)
			if !json.Valid(a.Body) {
				t.Fatalf("%q is no JSON", a.Body)
			}
			if v := a.Header.Get("WWW-Authenticate"); v != "" {
				readChallenge(t, v)
			} else if status == http.StatusUnauthorized {
				t.Fatal("401 without a challenge (RFC 9110 section 11.6.1)")
			}
		}
	})
}

// readChallenge walks through: every quoted value closes, and what is outside the quotes is of ours.
func readChallenge(t *testing.T, v string) {
	t.Helper()
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) {
		t.Fatalf("%q", v)
	}
	parts := strings.Split(v, `"`)
	if len(parts)%2 != 1 {
		t.Fatalf("%q: a value does not end", v)
	}
	for i := 0; i < len(parts); i += 2 {
		for word := range strings.FieldsFuncSeq(parts[i], func(r rune) bool { return r == ' ' || r == ',' }) {
			switch strings.TrimSuffix(word, "=") {
			case "Bearer", "DPoP", "realm", "error", "error_description", "scope", "algs", "resource_metadata":
			default:
				t.Fatalf("%q: %q stands outside the quotes", v, word)
			}
		}
	}
}
