package verify_test

import (
	"fmt"
	"strings"
)

// formAttempts are about the bytes of the token before any JSON is read.
func formAttempts() []attempt {
	const compact, canonical = "RFC 7519 7.2, RFC 7515 7.1", "RFC 7515 2 (base64url without padding), RFC 8725 3.2"
	fixed := func(s string) func(*forge) string { return func(*forge) string { return s } }
	edit := func(e func(string) string) func(*forge, string) string {
		return func(_ *forge, token string) string { return e(token) }
	}
	part := func(n int, e func(string) string) func(*forge, string) string {
		return edit(func(token string) string {
			p := strings.Split(token, ".")
			p[n] = e(p[n])
			return strings.Join(p, ".")
		})
	}
	return []attempt{
		{name: "a plain ES256 token", source: "RFC 7519 7.2"},
		{name: "nothing", source: compact, want: "form", raw: fixed("")},
		{name: "two dots", source: compact, want: "form", raw: fixed("..")},
		{name: "an opaque token", source: compact, want: "form", raw: fixed("2YotnFZFEjr1zCsicMWpAA")},
		{
			name: "two parts", source: compact, want: "form",
			after: edit(func(s string) string { return s[:strings.LastIndexByte(s, '.')] }),
		},
		{name: "four parts", source: compact, want: "form", after: edit(func(s string) string { return s + ".AAAA" })},
		{
			name: "five parts", source: compact, want: "form",
			after: edit(func(s string) string { return s + ".AAAA.AAAA" }),
		},
		{name: "a dot before", source: compact, want: "form", after: edit(func(s string) string { return "." + s })},
		{name: "a dot behind", source: compact, want: "form", after: edit(func(s string) string { return s + "." })},
		{name: "no header", source: compact, want: "form", after: part(0, func(string) string { return "" })},
		{name: "no payload", source: compact, want: "form", after: part(1, func(string) string { return "" })},
		{name: "no signature", source: "RFC 8725 3.1", want: "form", after: part(2, func(string) string { return "" })},
		{name: "flattened JSON serialisation", source: "RFC 7519 1", want: "form", after: edit(func(s string) string {
			p := strings.Split(s, ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
		})},
		{name: "general JSON serialisation", source: "RFC 7519 1", want: "form", after: edit(func(s string) string {
			p := strings.Split(s, ".")
			return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2])
		})},
		{
			name: "a space before", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return " " + s }),
		},
		{
			name: "a line break behind", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return s + "\n" }),
		},
		{
			name: "the scheme in the token", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return "Bearer " + s }),
		},
		{
			name: "a NUL behind", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return s + "\x00" }),
		},
		{
			name: "a letter beyond ASCII", source: "RFC 6750 2.1", want: "form",
			after: part(1, func(s string) string { return s + "é" }),
		},
		{
			name: "an encoded dot", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return strings.Replace(s, ".", "%2E", 1) }),
		},
		{
			name: "a comma and a second token", source: "RFC 6750 2.1", want: "form",
			after: edit(func(s string) string { return s + "," + s }),
		},
		{name: "padded header", source: canonical, want: "form", head: []string{`x="1"`}, after: part(0, pad)},
		{name: "padded payload", source: canonical, want: "form", after: part(1, pad)},
		{name: "padded signature", source: canonical, want: "form", after: part(2, pad)},
		{
			name: "line break in the payload", source: canonical, want: "form",
			after: part(1, func(s string) string { return s[:8] + "\r\n" + s[8:] }),
		},
		{
			name: "line break in the signature", source: canonical, want: "form",
			after: part(2, func(s string) string { return s[:8] + "\n" + s[8:] }),
		},
		{name: "standard alphabet in the signature", source: canonical, want: "form", raw: func(f *forge) string {
			for {
				token := f.make(attempt{})
				if p := strings.LastIndexByte(token, '.'); strings.ContainsAny(token[p:], "-_") {
					return token[:p] + strings.NewReplacer("-", "+", "_", "/").Replace(token[p:])
				}
			}
		}},
		{
			name: "standard alphabet in the payload, signed so", source: canonical, want: "form",
			raw: func(f *forge) string {
				a := attempt{body: []string{`x="???>>>???>>>"`, `y="~~~???"`}}
				input := b64([]byte(f.head(a))) + "." + strings.NewReplacer("-", "+", "_", "/").Replace(b64([]byte(body(a))))
				if !strings.ContainsAny(input, "+/") {
					panic("nothing to replace")
				}
				return input + "." + b64(f.sign(a, input))
			},
		},
		{name: "unused bits set in the signature", source: canonical, want: "form", after: part(2, setLow)},
		{name: "unused bits set in the header, signed so", source: canonical, want: "form", raw: func(f *forge) string {
			a := attempt{rawHead: `{"alg":"ES256","kid":"e1"}  `} // 28 bytes: one left over in base64
			input := setLow(b64([]byte(a.rawHead))) + "." + b64([]byte(body(a)))
			return input + "." + b64(f.sign(a, input))
		}},
		{
			name: "one character too many in the signature", source: canonical, want: "form",
			after: part(2, func(s string) string { return s + "AAA" }),
		},
		{
			name: "over 64 KiB", source: "our limit of size", want: "size",
			body: []string{`x="` + strings.Repeat("a", 50_000) + `"`},
		},
		{
			name: "just under 64 KiB", source: "our limit of size",
			body: []string{`x="` + strings.Repeat("a", 48_000) + `"`},
		},
	}
}

func pad(s string) string { return s + strings.Repeat("=", max((4-len(s)%4)%4, 1)) }

// setLow sets a bit of the last character that base64 does not use.
func setLow(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		panic("no unused bits")
	}
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
}

// headerAttempts are about the JSON of the header and about what it asks for.
func headerAttempts() []attempt {
	const dup, unknown = "RFC 7515 4 (names unique), RFC 8725 2.4", "RFC 7515 4 (not understood: ignored)"
	list := []attempt{
		{
			name: "spaces and line breaks in the header", source: "RFC 7515 3.3",
			rawHead: "{\"typ\":\"JWT\",\r\n \"alg\" : \"ES256\", \"kid\":\"e1\"}",
		},
		{name: "alg written with escapes", source: "RFC 7515 5.3", rawHead: `{"\u0061lg":"ES\u003256","kid":"e1"}`},
		{name: "an unknown member", source: unknown, head: []string{`x={"y":[1,2]}`}},
		{name: "alg twice", source: dup, want: "json", head: []string{`+alg="none"`}},
		{name: "alg twice, one escaped", source: dup, want: "json", head: []string{`+al\u0067="none"`}},
		{name: "kid twice", source: dup, want: "json", head: []string{`+kid="e1"`}},
		{name: "an unknown member twice", source: dup, want: "json", head: []string{`+x=1`, `+x=1`}},
		{name: "a nested member twice", source: dup, want: "json", head: []string{`x={"a":1,"a":2}`}},
		{name: "header is an array", source: "RFC 7515 4", want: "json", rawHead: `[{"alg":"ES256","kid":"e1"}]`},
		{name: "header is a string", source: "RFC 7515 4", want: "json", rawHead: `"ES256"`},
		{name: "header is null", source: "RFC 7515 4", want: "json", rawHead: `null`},
		{name: "header is empty", source: "RFC 7515 4.1.1", want: "alg|claim", rawHead: `{}`},
		{
			name: "a second object in the header", source: "RFC 7515 5.2 (2)", want: "json",
			rawHead: `{"alg":"ES256","kid":"e1"}{"alg":"none"}`,
		},
		{
			name: "letters behind the header", source: "RFC 7515 5.2 (2)", want: "json",
			rawHead: `{"alg":"ES256","kid":"e1"}x`,
		},
		{
			name: "a comma at the end of the header", source: "RFC 8259 4", want: "json",
			rawHead: `{"alg":"ES256","kid":"e1",}`,
		},
		{
			name: "a comment in the header", source: "RFC 8259 2", want: "json",
			rawHead: `{"alg":"ES256",/**/"kid":"e1"}`,
		},
		{
			name: "byte order mark in the header", source: "RFC 8259 8.1, RFC 8725 3.7", want: "json",
			rawHead: "\xef\xbb\xbf" + `{"alg":"ES256","kid":"e1"}`,
		},
		{name: "header in UTF-16", source: "RFC 8725 3.7", want: "json", rawHead: "\xff\xfe{\x00}\x00"},
		{name: "no UTF-8 in the header", source: "RFC 8725 3.7", want: "json", head: []string{"x=\"\xff\xfe\""}},
		{
			name: "deep header", source: "our limits of depth and number", want: "json",
			head: []string{`x=` + strings.Repeat("[", 40) + strings.Repeat("]", 40)},
		},
		{
			name: "very deep header", source: "our limits of depth and number", want: "json|size",
			head: []string{`x=` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)},
		},
		{name: "kid is a number", source: "RFC 7515 4.1.4", want: "claim", head: []string{`kid=1`}},
		{name: "kid is null", source: "RFC 7515 4.1.4", want: "claim", head: []string{`kid=null`}},
		{name: "kid is an array", source: "RFC 7515 4.1.4", want: "claim", head: []string{`kid=["e1"]`}},
		{
			name: "Alg beside alg", source: "RFC 7515 4 (case-sensitive), RFC 8725 3.1", want: "json",
			head: []string{`Alg="none"`},
		},
		{
			name: "KID in place of kid", source: "RFC 7515 4 (case-sensitive)", want: "json", kid: "-",
			head: []string{`KID="e1"`},
		},
		{
			name: "crit with an unknown name", source: "RFC 7515 4.1.11", want: "header",
			head: []string{`crit=["x"]`, `x=1`},
		},
		{name: "crit empty", source: "RFC 7515 4.1.11", want: "header|claim", head: []string{`crit=[]`}},
		{name: "crit names alg", source: "RFC 7515 4.1.11", want: "header", head: []string{`crit=["alg"]`}},
		{
			name: "crit names what is not there", source: "RFC 7515 4.1.11", want: "header",
			head: []string{`crit=["exp"]`},
		},
		{name: "crit is a string", source: "RFC 7515 4.1.11", want: "header|claim", head: []string{`crit="exp"`}},
		{name: "crit is null", source: "RFC 7515 4.1.11", want: "header|claim", head: []string{`crit=null`}},
		{
			name: "b64 false and critical", source: "RFC 7797 7", want: "header",
			head: []string{`b64=false`, `crit=["b64"]`},
		},
		{name: "b64 false", source: "RFC 7797 6, 7", want: "header", head: []string{`b64=false`}},
		{name: "b64 true", source: "RFC 7797 7", want: "header", head: []string{`b64=true`}},
		{name: "cty JWT", source: "RFC 7519 5.2, RFC 8725 3.8", want: "header", head: []string{`cty="JWT"`}},
		{name: "cty json", source: "RFC 8725 3.11", want: "header", head: []string{`cty="json"`}},
		{name: "typ is null", source: "RFC 7515 4.1.9", want: "claim|header", head: []string{`typ=null`}},
		{name: "typ is a number", source: "RFC 7515 4.1.9", want: "claim|header", head: []string{`typ=1`}},
		{name: "a key address is ignored", source: "RFC 7515 10.3 (keys from the token), RFC 8725 3.10", head: []string{
			`jku="http://127.0.0.1:1/jwks"`, `x5u="http://127.0.0.1:1/cert"`, `x5c=["AAAA"]`, `x5t="AAAA"`,
			`jwk={"kty":"oct","k":"AA"}`,
		}},
		{
			name: "zip and a compressed payload", source: "RFC 8725 3.6", want: "json", head: []string{`zip="DEF"`},
			rawBody: "\xab\x56\x4a\xad\x28\x50\xb2\x02\x00",
		},
	}
	for typ, want := range map[string]string{
		"JWT": "", "jwt": "", "application/jwt": "", "Application/JWT": "", "logout+jwt": "header",
		"dpop+jwt":     "header",
		"secevent+jwt": "header", "token-introspection+jwt": "header", "oauth-authz-req+jwt": "header",
		"JOSE":      "header",
		"JOSE+JSON": "header", "JWE": "header", "id_token+jwt": "header", "at+jwt ": "header", "": "header",
		"entity-statement+jwt":        "header",
		"application/application/jwt": "header", "text/jwt": "header", "kb+jwt": "header", "vc+sd-jwt": "header",
		"application/": "header",
	} {
		list = append(list, attempt{
			name: "typ " + typ, source: "RFC 7515 4.1.9, RFC 8725 3.11", want: want,
			head: []string{`typ="` + typ + `"`},
		})
	}
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt"} {
		list = append(list, attempt{
			name: "access token typ " + typ, source: "RFC 9068 2.1, 4", base: "at",
			head: []string{`typ="` + typ + `"`},
		})
	}
	return list
}

// payloadAttempts are about the JSON of the claims.
func payloadAttempts() []attempt {
	const dup = "RFC 7519 4 (names unique), RFC 8725 2.4"
	return []attempt{
		{
			name: "spaces in the payload", source: "RFC 7515 A.1",
			rawBody: strings.NewReplacer(",", ",\r\n ", `":`, `" : `).Replace(body(attempt{})) + " \n",
		},
		{name: "iss with escaped slashes", source: "RFC 8259 7", body: []string{`iss="https:\/\/op.example.org"`}},
		{name: "names in other languages", source: "RFC 8725 3.7", body: []string{`name="Жанна 🐟 Ünal"`}},
		{
			name: "nested to depth ten", source: "RFC 7519 4 (unknown claims ignored)",
			body: []string{`x=` + strings.Repeat(`{"a":`, 10) + "1" + strings.Repeat("}", 10)},
		},
		{name: "three hundred claims", source: "RFC 7519 4 (unknown claims ignored)", body: many(300)},
		{name: "two thousand claims", source: "our limits of depth and number", want: "json", body: many(2000)},
		{name: "exp twice", source: dup, want: "json", body: []string{fmt.Sprintf("+exp=%d", atkNow+600)}},
		{name: "iss twice", source: dup, want: "json", body: []string{`+iss="` + atkOther + `"`}},
		{name: "aud twice, one escaped", source: dup, want: "json", body: []string{`+\u0061ud="` + atkAud + `"`}},
		{name: "an unknown claim twice", source: dup, want: "json", body: []string{"+x=1", "+x=1"}},
		{name: "a nested claim twice", source: dup, want: "json", body: []string{`x=[{"a":1,"a":1}]`}},
		{
			name: "Exp in place of exp", source: "RFC 7519 4 (case-sensitive)", want: "json|claim",
			body: []string{"exp=", fmt.Sprintf("Exp=%d", atkNow+600)},
		},
		{
			name: "ISS beside iss", source: "RFC 7519 4 (case-sensitive)", want: "json",
			body: []string{`ISS="` + atkOther + `"`},
		},
		{
			name: "AUD in place of aud", source: "RFC 7519 4 (case-sensitive)", want: "json|audience",
			body: []string{"aud=", `AUD="` + atkAud + `"`},
		},
		{
			name: "iss with a long s", source: "RFC 7519 4; case folding of Unicode", want: "json|issuer",
			body: []string{"iss=", `iſs="` + atkIssuer + `"`},
		},
		{
			name: "a second claim set", source: "RFC 7519 7.2 (10)", want: "json",
			rawBody: body(attempt{}) + body(attempt{}),
		},
		{name: "a brace behind the claims", source: "RFC 7519 7.2 (10)", want: "json", rawBody: body(attempt{}) + "}"},
		{
			name: "a comma at the end of the claims", source: "RFC 8259 4", want: "json",
			rawBody: strings.TrimSuffix(body(attempt{}), "}") + ",}",
		},
		{
			name: "byte order mark in the claims", source: "RFC 8259 8.1", want: "json",
			rawBody: "\xef\xbb\xbf" + body(attempt{}),
		},
		{
			name: "no UTF-8 in the claims", source: "RFC 7519 7.2 (10), RFC 8725 3.7", want: "json",
			body: []string{"x=\"\xc0\xaf\""},
		},
		{name: "no UTF-8 in a claim's name", source: "RFC 8725 3.7", want: "json", body: []string{"\xff=1"}},
		{name: "a line break in a string", source: "RFC 8259 7", want: "json", body: []string{"x=\"a\nb\""}},
		{name: "claims are an array", source: "RFC 7519 7.2 (10)", want: "json", rawBody: "[" + body(attempt{}) + "]"},
		{name: "claims are a string", source: "RFC 7519 7.2 (10)", want: "json", rawBody: `"admin"`},
		{name: "claims are null", source: "RFC 7519 7.2 (10)", want: "json", rawBody: `null`},
		{name: "claims are a token", source: "RFC 8725 2.7", want: "json", rawBody: "eyJhbGciOiJub25lIn0.e30.AA"},
		{
			name: "claims are cut off", source: "RFC 7519 7.2 (10)", want: "json",
			rawBody: strings.TrimSuffix(body(attempt{}), "}"),
		},
		{name: "no claims", source: "RFC 9068 4 (iss exactly)", want: "issuer", rawBody: "{}"},
		{
			name: "claims nested too deep", source: "our limits of depth and number", want: "json",
			body: []string{`x=` + strings.Repeat(`[`, 100) + strings.Repeat("]", 100)},
		},
		{name: "a number that is none", source: "RFC 8259 6", want: "json", body: []string{"x=NaN"}},
		{name: "a number with a leading zero", source: "RFC 8259 6", want: "json", body: []string{"x=01"}},
		{name: "single quotes", source: "RFC 8259 7", want: "json", body: []string{"x='a'"}},
	}
}

func many(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("+x%d=%d", i, i)
	}
	return list
}
