package verify_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// issuerAttempts are about iss.
func issuerAttempts() []attempt {
	list := []attempt{{
		name: "the other issuer with its key", source: "RFC 7519 4.1.1", key: "other",
		body: []string{`iss="` + atkOther + `"`},
	}}
	for name, iss := range map[string]string{
		"a slash more": `"https://op.example.org/"`, "capital letters": `"https://OP.example.org"`,
		"the default port": `"https://op.example.org:443"`,
		"http":             `"http://op.example.org"`, "an encoded letter": `"https://op.example.or%67"`,
		"a longer host":          `"https://op.example.org.evil.org"`,
		"a user before the host": `"https://op.example.org@evil.org"`,
		"a space behind":         `"https://op.example.org "`, "a line break behind": `"https://op.example.org\n"`,
		"a NUL behind": `"https://op.example.org\u0000"`, "a Cyrillic letter": `"https://оp.example.org"`,
		"nothing": `""`, "a dot behind": `"https://op.example.org."`,
		"a query": `"https://op.example.org?x"`, "a path up": `"https://op.example.org/x/.."`,
		"two issuers": `"https://op.example.org https://other.example.org"`,
	} {
		list = append(list, attempt{
			name: "iss with " + name, source: "RFC 7519 4.1.1, RFC 9207 2.4, RFC 9068 4 (iss exactly)", want: "issuer",
			body: []string{"iss=" + iss},
		})
	}
	for name, iss := range map[string]string{
		"null": "null", "a number": "1", "an array": `["` + atkIssuer + `"]`, "true": "true",
	} {
		list = append(list, attempt{
			name: "iss is " + name, source: "RFC 7519 4.1.1", want: "claim|issuer", body: []string{"iss=" + iss},
		})
	}
	return append(list, attempt{
		name: "no iss", source: "RFC 9068 4 (iss exactly)", want: "issuer|claim", body: []string{"iss="},
	})
}

// timeAttempts are about exp, nbf, iat and how long a token lives.
func timeAttempts() []attempt {
	const exp, nbf, iat, life = "RFC 7519 4.1.4", "RFC 7519 4.1.5", "RFC 7519 4.1.6", "WLCG 1.3 lifetimes"
	at := func(claim string, ahead int) string { return fmt.Sprintf("%s=%d", claim, atkNow+ahead) }
	list := []attempt{
		{name: "no exp", source: "RFC 7519 4.1.4", want: "claim|time", body: []string{"exp="}},
		{name: "exp zero", source: "RFC 7519 4.1.4", want: "time|claim", body: []string{"exp=0"}},
		{name: "exp below zero", source: "RFC 7519 4.1.4", want: "time|claim", body: []string{"exp=-1"}},
		{
			name: "exp beyond all numbers", source: "RFC 8259 6 (finite)", want: "time|claim|json",
			body: []string{"exp=1e400"},
		},
		{
			name: "exp that overflows when counted in nanoseconds", source: "RFC 7519 2 (NumericDate)", want: "time|claim",
			base: "wlcg", body: []string{"exp=1000000000000000000"},
		},
		{
			name: "exp that overflows 64 bits", source: "RFC 7519 2 (NumericDate)", want: "time|claim",
			body: []string{"exp=18446744075509551616"},
		},
		{
			name: "exp with a fraction", source: "RFC 7519 2 (NumericDate)",
			body: []string{fmt.Sprintf("exp=%d.5", atkNow+600)},
		},
		{name: "exp with an exponent", source: "RFC 8259 6", body: []string{"exp=1.8000006e9"}},
		{
			name: "exp a minute and a second ago", source: exp, want: "time",
			body: []string{at("exp", -61), at("iat", -600)},
		},
		{name: "exp an hour ago", source: exp, want: "time", body: []string{at("exp", -3600), at("iat", -7200)}},
		{
			name: "exp half a minute ago", source: exp + " (leeway of a minute outside WLCG)",
			body: []string{at("exp", -30)},
		},
		{name: "WLCG exp now", source: exp + ": on or after", want: "time", base: "wlcg", body: []string{at("exp", 0)}},
		{
			name: "WLCG exp a second ago", source: "RFC 7519 4.1.4", want: "time", base: "wlcg",
			body: []string{at("exp", -1)},
		},
		{name: "WLCG exp in a second", source: exp, base: "wlcg", body: []string{at("exp", 1)}},
		{
			name: "expired by the skew its issuer has", source: "RFC 7519 4.1.4", want: "time",
			body: []string{at("exp", -1)},
			conf: func(c *verify.Config) {
				c.Issuers[0].Skew = new(time.Duration)
			},
		},
		{name: "nbf in a minute and a second", source: nbf, want: "time", body: []string{at("nbf", 61)}},
		{name: "nbf in a minute", source: nbf + " (leeway)", body: []string{at("nbf", 60)}},
		{
			name: "nbf next year", source: nbf, want: "time",
			body: []string{at("nbf", 31_536_000), at("exp", 31_539_600)},
		},
		{name: "nbf at exp", source: "RFC 7519 4.1.5", want: "time", body: []string{at("nbf", 30), at("exp", 30)}},
		{name: "nbf behind exp", source: "RFC 7519 4.1.5", want: "time", body: []string{at("nbf", 40), at("exp", 30)}},
		{name: "iat in a minute and a second", source: "RFC 7519 4.1.6", want: "time", body: []string{at("iat", 61)}},
		{name: "iat in half a minute", source: iat, body: []string{at("iat", 30)}},
		{
			name: "iat in milliseconds", source: "RFC 7519 2 (NumericDate)", want: "time|claim",
			body: []string{"iat=1800000000000"},
		},
		{name: "no iat, no profile", source: iat + " (optional)", body: []string{"iat="}},
		{name: "WLCG without iat", source: "WLCG 1.3 claims", want: "claim", base: "wlcg", body: []string{"iat="}},
		{name: "WLCG six hours", source: life, base: "wlcg", body: []string{at("iat", -60), at("exp", 21540)}},
		{
			name: "WLCG six hours and a second", source: life, want: "time", base: "wlcg",
			body: []string{at("iat", -60), at("exp", 21541)},
		},
		{
			name: "WLCG exp in milliseconds", source: life, want: "time|claim", base: "wlcg",
			body: []string{"exp=1800000600000"},
		},
		{
			name: "WLCG a day where its issuer may", source: "WLCG 1.3: longer by agreement", base: "wlcg",
			body: []string{at("exp", 80_000)},
			conf: func(c *verify.Config) {
				c.Issuers[0].MaxLifetime = 24 * time.Hour
			},
		},
		{
			name: "longer than its issuer may", source: "our limit of life", want: "time",
			body: []string{at("exp", 3600)},
			conf: func(c *verify.Config) {
				c.Issuers[0].MaxLifetime = time.Hour
			},
		},
	}
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for kind, value := range map[string]string{
			"a string": fmt.Sprintf(`"%d"`, atkNow-30), "null": "null", "true": "true",
			"an array": fmt.Sprintf("[%d]", atkNow-30),
			"a date":   `"2027-01-15T08:00:00Z"`, "an object": "{}",
		} {
			list = append(list, attempt{
				name:   claim + " is " + kind,
				source: "RFC 7519 2 (NumericDate), a wrong type is never absent", want: "claim",
				body: []string{claim + "=" + value},
			})
		}
	}
	return list
}

// profileAttempts are about WLCG, SciTokens and RFC 9068.
func profileAttempts() []attempt {
	const w, s = "WLCG 1.3 claims", "SciTokens 2.0"
	list := []attempt{
		{name: "a WLCG token", source: w, base: "wlcg"},
		{name: "a SciToken", source: s, base: "scitokens"},
		{
			name: "a WLCG token of a later minor version", source: "WLCG 1.3 versions", base: "wlcg",
			body: []string{`wlcg.ver="1.9"`},
		},
		{
			name: "a WLCG token of a minor version with two digits", source: "WLCG 1.3 versions", base: "wlcg",
			body: []string{`wlcg.ver="1.12"`},
		},
		{
			name: "a WLCG token of the next major version", source: "WLCG 1.3 versions", want: "profile", base: "wlcg",
			body: []string{`wlcg.ver="2.0"`},
		},
		{
			name: "wlcg.ver without minor", source: "WLCG 1.3 versions", want: "profile|claim", base: "wlcg",
			body: []string{`wlcg.ver="1"`},
		},
		{
			name: "wlcg.ver with a space", source: "WLCG 1.3 versions", want: "profile|claim", base: "wlcg",
			body: []string{`wlcg.ver="1.0 "`},
		},
		{
			name: "wlcg.ver with three numbers", source: "WLCG 1.3 versions", want: "profile|claim", base: "wlcg",
			body: []string{`wlcg.ver="1.0.0"`},
		},
		{
			name: "wlcg.ver is a number", source: "WLCG 1.3 versions", want: "claim", base: "wlcg",
			body: []string{`wlcg.ver=1.0`},
		},
		{
			name: "wlcg.ver is null", source: "a wrong type is never absent", want: "claim", base: "wlcg",
			body: []string{`wlcg.ver=null`},
		},
		{
			name: "wlcg.ver empty", source: "WLCG 1.3 versions", want: "profile|claim", base: "wlcg",
			body: []string{`wlcg.ver=""`},
		},
		{
			name: "both wlcg.ver and ver", source: "SciTokens 2.0", want: "profile", base: "wlcg",
			body: []string{`ver="scitoken:2.0"`},
		},
		{
			name: "a profile its issuer may not use", source: "RFC 8725 3.12", want: "profile", base: "scitokens",
			conf: func(c *verify.Config) {
				c.Issuers[0].Profiles = []claims.Profile{claims.WLCG}
			},
		},
		{
			name: "no profile where WLCG is wanted", source: "RFC 8725 3.12", want: "profile",
			conf: func(c *verify.Config) {
				c.Issuers[0].Profiles = []claims.Profile{claims.WLCG}
			},
		},
		{
			name: "WLCG with typ at+jwt", source: "RFC 9068 2.1, RFC 8725 3.11", base: "wlcg",
			head: []string{`typ="at+jwt"`}, body: []string{`client_id="c"`},
		},
		{name: "WLCG without sub", source: w, want: "claim", base: "wlcg", body: []string{"sub="}},
		{name: "WLCG without jti", source: w, want: "claim", base: "wlcg", body: []string{"jti="}},
		{name: "WLCG sub empty", source: w, want: "claim", base: "wlcg", body: []string{`sub=""`}},
		{name: "WLCG sub of 255", source: w, base: "wlcg", body: []string{`sub="` + strings.Repeat("a", 255) + `"`}},
		{
			name: "WLCG sub of 256", source: w, want: "claim", base: "wlcg",
			body: []string{`sub="` + strings.Repeat("a", 256) + `"`},
		},
		{name: "WLCG sub beyond ASCII", source: w, want: "claim", base: "wlcg", body: []string{`sub="алиса"`}},
		{
			name: "WLCG scope is an array", source: "a wrong type is never absent", want: "claim",
			base: "wlcg", body: []string{`scope=["storage.read:/"]`},
		},
		{
			name: "WLCG groups", source: "WLCG 1.3 groups", base: "wlcg",
			body: []string{`wlcg.groups=["/wlcg","/wlcg/xfers"]`, "scope="},
		},
		{
			name: "WLCG groups is a string", source: "a wrong type is never absent", want: "claim",
			base: "wlcg", body: []string{`wlcg.groups="/wlcg"`},
		},
		{
			name: "WLCG group without slash", source: "WLCG 1.3 groups", want: "claim", base: "wlcg",
			body: []string{`wlcg.groups=["wlcg"]`},
		},
		{
			name: "WLCG group with a path up", source: "WLCG 1.3 groups", want: "claim", base: "wlcg",
			body: []string{`wlcg.groups=["/wlcg/../cms"]`},
		},
		{
			name: "WLCG group is a number", source: "WLCG 1.3 groups", want: "claim", base: "wlcg",
			body: []string{`wlcg.groups=["/wlcg",1]`},
		},
		{name: "a SciToken written scitokens", source: s, base: "scitokens", body: []string{`ver="scitokens:2.0"`}},
		{
			name: "a SciToken of a later version", source: s, want: "profile", base: "scitokens",
			body: []string{`ver="scitoken:3.0"`},
		},
		{
			name: "a SciToken of another case", source: s, want: "profile", base: "scitokens",
			body: []string{`ver="SciToken:2.0"`},
		},
		{
			name: "a SciToken whose ver is a number", source: s, want: "claim|profile", base: "scitokens",
			body: []string{`ver=2.0`},
		},
		{name: "a SciToken without nbf", source: s, want: "claim", base: "scitokens", body: []string{"nbf="}},
		{name: "a SciToken without iat", source: s, want: "claim", base: "scitokens", body: []string{"iat="}},
		{name: "a SciToken without kid", source: "SciTokens 2.0 (kid may be missing)", base: "scitokens", kid: "-"},
		{name: "a SciToken signed with RS512", source: "SciTokens 2.0", want: "alg", base: "scitokens", alg: "RS512"},
		{name: "a SciToken signed with EdDSA", source: "SciTokens 2.0", want: "alg", base: "scitokens", alg: "EdDSA"},
		{
			name: "a SciToken with an unknown claim", source: s + " (ignored)", base: "scitokens",
			body: []string{`x="y"`},
		},
		{name: "a SciToken 1.0", source: "SciTokens 1.0", base: "scitokens", body: []string{`ver="scitokens:1.0"`}},
		{
			name: "a SciToken 1.0 without aud", source: "SciTokens 1.0 (optional)", base: "scitokens",
			body: []string{`ver="scitokens:1.0"`, "aud="},
		},
		{
			name: "a SciToken 1.0 with an unknown claim", source: "SciTokens 1.0", want: "claim", base: "scitokens",
			body: []string{`ver="scitokens:1.0"`, `x="y"`},
		},
		{name: "sub is a number", source: "RFC 7519 4.1.2", want: "claim", body: []string{"sub=1"}},
		{name: "jti is a number", source: "RFC 7519 4.1.7", want: "claim", body: []string{"jti=1"}},
	}
	for _, scope := range []string{
		"storage.read", "storage.read:", "storage.read:foo", "storage.read:/a/../b", "storage.read:/a/%2e%2e/b",
		"storage.create:/a/%252e%252e/b",
		"storage.modify:/a%2fb", "storage.read:/a%5cb", "storage.stage:/a%00", "storage.read:/%25252525252e",
		"openid storage.modify",
	} {
		list = append(list, attempt{
			name: "WLCG scope " + scope, source: "WLCG 1.3 capabilities, paths of scopes", want: "claim",
			base: "wlcg", body: []string{`scope="` + scope + `"`},
		})
	}
	for _, scope := range []string{"read", "write:", "read:a", "read:/home/u1/..", "write:/foo/%2e%2e/bar"} {
		list = append(list, attempt{
			name: "SciToken scope " + scope, source: "SciTokens scopes", want: "claim", base: "scitokens",
			body: []string{`scope="` + scope + `"`},
		})
	}
	for _, scope := range []string{
		"storage.read:/a:b/c", "storage.read:/a/ storage.create:/b", "fts:submit-transfer openid",
		"compute.create  host.auth", "storage.read:/%C3%A9",
	} {
		list = append(list, attempt{
			name: "WLCG right scope " + scope, source: "WLCG 1.3 capabilities", base: "wlcg",
			body: []string{`scope="` + scope + `"`},
		})
	}
	for _, claim := range []string{"client_id", "jti", "sub", "iat"} {
		list = append(list, attempt{
			name: "at+jwt without " + claim, source: "RFC 9068 2.2", want: "claim", base: "at",
			body: []string{claim + "="},
		})
	}
	return list
}

// audienceAttempts are about aud.
func audienceAttempts() []attempt {
	const source = "RFC 7519 4.1.3, RFC 8725 3.9"
	any := func(name string) func(*verify.Config) {
		return func(c *verify.Config) { c.Audiences = append(c.Audiences, name) }
	}
	anyWLCG, anySci := `aud="`+claims.AnyWLCG+`"`, `aud="`+claims.AnySciTokens+`"`
	list := []attempt{
		{name: "our audience in a list", source: source, body: []string{`aud=["x","` + atkAud + `"]`}},
		{name: "no aud", source: source, want: "audience|claim", body: []string{"aud="}},
		{
			name: "WLCG without aud", source: "WLCG 1.3 claims", want: "audience|claim", base: "wlcg",
			body: []string{"aud="},
		},
		{
			name: "a SciToken 2.0 without aud", source: "SciTokens 2.0", want: "audience|claim", base: "scitokens",
			body: []string{"aud="},
		},
		{
			name: "at+jwt without aud", source: "RFC 9068 2.2", want: "audience|claim", base: "at",
			body: []string{"aud="},
		},
		{
			name: "WLCG for everybody, not accepted", source: "our default: only where said", want: "audience",
			base: "wlcg", body: []string{anyWLCG},
		},
		{
			name: "WLCG for everybody, accepted", source: "WLCG 1.3 claims", base: "wlcg", body: []string{anyWLCG},
			conf: any(claims.AnyWLCG),
		},
		{
			name: "WLCG's everybody without wlcg.ver", source: "WLCG 1.3 audience", want: "audience",
			body: []string{anyWLCG}, conf: any(claims.AnyWLCG),
		},
		{
			name: "a SciToken for everybody, not accepted", source: "SciTokens 2.0", want: "audience",
			base: "scitokens", body: []string{anySci},
		},
		{
			name: "a SciToken for everybody, accepted", source: "SciTokens 2.0", base: "scitokens",
			body: []string{anySci}, conf: any(claims.AnySciTokens),
		},
		{
			name: "a SciToken 1.0 for everybody", source: "SciTokens 2.0", want: "audience", base: "scitokens",
			body: []string{`ver="scitokens:1.0"`, anySci}, conf: any(claims.AnySciTokens),
		},
		{
			name: "ANY in a WLCG token", source: "SciTokens 2.0", want: "audience", base: "wlcg",
			body: []string{anySci}, conf: any(claims.AnySciTokens),
		},
		{
			name: "WLCG's everybody in a SciToken", source: "SciTokens 2.0", want: "audience", base: "scitokens",
			body: []string{anyWLCG}, conf: any(claims.AnyWLCG),
		},
	}
	for name, aud := range map[string]string{
		"of somebody else": `"https://other.example.org"`, "in capitals": `"https://SE.example.org"`,
		"with a slash": `"https://se.example.org/"`,
		"with a port":  `"https://se.example.org:443"`, "that begins like ours": `"https://se.example.org.evil.org"`,
		"that ours begins with": `"https://se"`,
		"empty":                 `""`, "an empty list": `[]`, "a list of others": `["a","b"]`,
		"with a space":      `" https://se.example.org"`,
		"two in one string": `"x https://se.example.org"`, "a star": `"*"`,
	} {
		list = append(list, attempt{
			name: "aud " + name, source: source, want: "audience|claim", body: []string{"aud=" + aud},
		})
	}
	for name, aud := range map[string]string{
		"a number": "1", "null": "null", "an object": `{"` + atkAud + `":1}`,
		"a list with a number": `["` + atkAud + `",1]`,
		"a list in a list":     `[["` + atkAud + `"]]`, "true": "true",
	} {
		list = append(list, attempt{
			name: "aud is " + name, source: source + ": string or array of strings", want: "claim|audience",
			body: []string{"aud=" + aud},
		})
	}
	return list
}

// kindAttempts are tokens of another kind, and tokens bound to a key.
func kindAttempts() []attempt {
	const kind, bound = "RFC 8725 3.12, OIDC Core 2", "RFC 9449 7.1, RFC 8705 3, RFC 7800 3.1"
	return []attempt{
		{name: "an ID token by nonce", source: kind, want: "kind", body: []string{`nonce="n"`}},
		{name: "an ID token by at_hash", source: kind, want: "kind", body: []string{`at_hash="h"`}},
		{name: "an ID token by c_hash", source: kind, want: "kind", body: []string{`c_hash="h"`}},
		{
			name: "a WLCG ID token", source: kind + ", WLCG 1.3: not for resource servers", want: "kind",
			base: "wlcg", body: []string{`nonce="n"`, `auth_time=1`, "scope="},
		},
		{name: "an ID token of Cognito", source: kind, want: "kind", body: []string{`token_use="id"`}},
		{name: "an ID token of Keycloak", source: kind, want: "kind", body: []string{`typ="ID"`}},
		{name: "a refresh token of Keycloak", source: kind, want: "kind", body: []string{`typ="Refresh"`}},
		{name: "an offline token of Keycloak", source: kind, want: "kind", body: []string{`typ="Offline"`}},
		{name: "an access token of Keycloak", source: kind, body: []string{`typ="Bearer"`, `azp="c"`}},
		{name: "an access token of Cognito", source: kind, body: []string{`token_use="access"`}},
		{
			name: "at+jwt with a nonce", source: "RFC 9068 2.1 (typ leaves no doubt)", base: "at",
			body: []string{`nonce="n"`},
		},
		{
			name: "a logout token without typ", source: "OIDC Back-Channel Logout 2.4, RFC 8725 3.12", want: "kind",
			body: []string{
				`jti="1"`, `events={"http://schemas.openid.net/event/backchannel-logout":{}}`,
			},
		},
		{
			name: "bound by DPoP", source: bound, want: "binding", base: "at",
			body: []string{`cnf={"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`},
		},
		{
			name: "bound to a certificate", source: bound, want: "binding", base: "at",
			body: []string{`cnf={"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`},
		},
		{name: "bound to a key", source: "RFC 7800 3.2", want: "binding", body: []string{`cnf={"jwk":{"kty":"EC"}}`}},
		{
			name: "bound by the name of a key", source: "RFC 7800 3.4", want: "binding",
			body: []string{`cnf={"kid":"k"}`},
		},
		{
			name: "a WLCG token bound by DPoP", source: bound, want: "binding", base: "wlcg",
			body: []string{`cnf={"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`},
		},
		{
			name: "cnf is a string", source: "RFC 7800 3.1, a wrong type is never absent",
			want: "binding|claim", body: []string{`cnf="x"`},
		},
		{
			name: "cnf is null", source: "RFC 7800 3.1, a wrong type is never absent",
			want: "binding|claim", body: []string{`cnf=null`},
		},
	}
}
