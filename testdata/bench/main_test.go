package main

import (
	"strings"
	"testing"
)

// TestAllAreToldTheSame: who takes what the others refuse saves work, and its time says nothing.
func TestAllAreToldTheSame(t *testing.T) {
	change := func(from, to string) func(*token) {
		return func(tok *token) {
			other, err := newToken(tok.alg, strings.Replace(payload, from, to, 1))
			if err != nil {
				t.Fatal(err)
			}
			*tok = *other
		}
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		for name, edit := range map[string]func(*token){
			"good":           func(*token) {},
			"other_signer":   func(tok *token) { k := *tok; change("", "")(&k); tok.key, tok.jwk = k.key, k.jwk },
			"other_audience": change(audience, "https://other.example.org"),
			"other_issuer":   change(issuer, "https://other.example.org/"),
			"expired":        change("1800003600", "1800000001"),
			"without_exp":    change(`"exp":1800003600,`, ""),
			"not_yet":        change(`"nbf":1800000000`, `"nbf":1800003000`),
		} {
			t.Run(alg+"/"+name, func(t *testing.T) {
				tok, err := newToken(alg, payload)
				if err != nil {
					t.Fatal(err)
				}
				edit(tok)
				list, err := tok.contestants(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range list {
					if c.name == hash || c.name == bare && name != "other_signer" {
						continue
					}
					if err := c.check(); (err == nil) != (name == "good") {
						t.Errorf("%s: %v", c.name, err)
					}
				}
			})
		}
	}
}
