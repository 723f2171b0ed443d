package differential

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// class is one kind of disagreement and its reason. It explains a question when the side that says no is the stricter
// one named here, its error is one of errs (ours has typed ones), and the input really has the peculiarity.
type class struct {
	name   string
	strict side
	why    string
	errs   []error
	holds  func(*input) bool
	// example is a question of this class and of no class before it.
	example func() question
}

// side is who says no.
type side string

const (
	oursSaysNo   side = "ours"
	theirsSayNo  side = "go-jose"
	oursLimitKey      = 256 // keys of a set that ours reads
)

// input is a question read carelessly, for the predicates.
type input struct {
	question
	rawHeader []byte
	header    map[string]any
	keys      []map[string]any
	rawKeys   []json.RawMessage
	err       error // of the side that says no
}

func newInput(q question, err error) *input {
	first, _, _ := bytes.Cut(q.token, []byte("."))
	in := &input{question: q, rawHeader: lax64(string(first)), err: err, rawKeys: rawKeys(q.set)}
	in.keys = lenientKeys(in.rawKeys)
	in.header = lenient(in.rawHeader)
	return in
}

func (c class) explains(in *input, strict side) bool {
	if c.strict != strict || !c.holds(in) {
		return false
	}
	return len(c.errs) == 0 || slices.ContainsFunc(c.errs, func(e error) bool { return errors.Is(in.err, e) })
}

// classOf returns the first class that explains why one side says yes and the other no, "" when none does.
func classOf(in *input, strict side) string {
	for _, c := range classes() {
		if c.explains(in, strict) {
			return c.name
		}
	}
	return ""
}

// classes is everything that the two answer differently about tokens and key sets.
func classes() []class {
	return slices.Concat(tokenClasses(), keyClasses(), laxClasses())
}

const plainClaims = `{"iss":"https://op.example","sub":"alice"}`

// headerExample is a question whose only peculiarity is the header.
func headerExample(alg, header string) func() question {
	return func() question { return question{by(alg).token(header, plainClaims), allKeys()} }
}

// keyExample is a question whose only peculiarity is the JWK.
func keyExample(alg string, members map[string]any) func() question {
	return func() question {
		s := by(alg)
		return question{s.token(s.header(), plainClaims), keySet(s.with(members))}
	}
}

// tokenClasses are those where ours refuses something about the token.
func tokenClasses() []class {
	headerLook := func(in *input) peculiar { return look(in.rawHeader, "alg", "kid", "typ", "cty", "crit", "b64") }
	return []class{
		{
			"token is longer than 64 KiB", oursSaysNo, "bounded work for strangers; go-jose leaves that to the caller",
			[]error{jose.ErrTooLarge},
			func(in *input) bool { return len(in.token) > jose.MaxToken },
			func() question {
				return question{by("ES256").token(by("ES256").header(), strings.Repeat(" ", 64<<10)), allKeys()}
			},
		},
		{
			"line breaks within base64url", oursSaysNo, "RFC 7515 section 2 allows none; Go's decoder skips them",
			[]error{jose.ErrCharacters, jose.ErrBase64},
			func(in *input) bool { return bytes.ContainsAny(in.token, "\r\n") },
			func() question {
				q := headerExample("ES256", by("ES256").header())()
				return question{slices.Concat(q.token, []byte("\n")), q.set}
			},
		},
		{
			"unused bits of base64url are set",
			oursSaysNo,
			"several spellings of one token; RFC 4648 section 3.5 lets a decoder refuse them",
			[]error{jose.ErrBase64},
			func(in *input) bool {
				return slices.ContainsFunc(bytes.Split(in.token, []byte(".")), func(p []byte) bool {
					return b64(lax64(string(p))) != string(p)
				})
			},
			func() question {
				q := headerExample("ES256", by("ES256").header())() // 64 bytes: two bits are left over
				end := len(q.token) - 1
				return question{append(q.token[:end:end], q.token[end]+1), q.set}
			},
		},
		{
			"header is not UTF-8", oursSaysNo, "RFC 7515 section 5.2 step 3; go-jose puts a replacement character there",
			[]error{jose.ErrJSON},
			func(in *input) bool { return headerLook(in).notText },
			headerExample("ES256", "{\"alg\":\"ES256\",\"kid\":\"es256\",\"x\":\"\xff\"}"),
		},
		{
			"header repeats a member below its top level",
			oursSaysNo,
			"no repeated member at any level (RFC 7515 section 4); go-jose looks where it decodes",
			[]error{jose.ErrJSON},
			func(in *input) bool { return headerLook(in).repeated },
			headerExample("ES256", `{"alg":"ES256","kid":"es256","jwk":{"kty":"OKP","crv":"Ed25519","x":"`+
				by("EdDSA").jwk["x"].(string)+`","o":{"a":1,"a":2}}}`),
		},
		{
			"header is nested deeper than 16", oursSaysNo, "bounded work for strangers",
			[]error{jose.ErrDepth},
			func(in *input) bool { return headerLook(in).depth > 16 },
			headerExample("ES256", `{"alg":"ES256","kid":"es256","x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`}`),
		},
		{
			"header has more than 100 members", oursSaysNo, "bounded work for strangers",
			[]error{jose.ErrMembers},
			func(in *input) bool { return headerLook(in).members > 100 },
			headerExample("ES256", `{"alg":"ES256","kid":"es256"`+manyMembers(120)+`}`),
		},
		{
			"header has a known name in another case", oursSaysNo, "a reader that folds case would take it for the real one",
			[]error{jose.ErrCaseVariant},
			func(in *input) bool { return headerLook(in).otherCase },
			headerExample("ES256", `{"alg":"ES256","kid":"es256","Alg":"none"}`),
		},
		{
			"header has crit or b64",
			oursSaysNo,
			"no extension is supported, and RFC 7797 section 7 keeps b64 out of JWTs; go-jose knows b64",
			[]error{jose.ErrCritical},
			func(in *input) bool { return has(in.header, "crit") || has(in.header, "b64") },
			headerExample("ES256", `{"alg":"ES256","kid":"es256","b64":true,"crit":["b64"]}`),
		},
		{
			"header has cty", oursSaysNo, "a token in a token is none of the access tokens here",
			[]error{jose.ErrNested},
			func(in *input) bool { return has(in.header, "cty") },
			headerExample("ES256", `{"alg":"ES256","kid":"es256","cty":"JWT"}`),
		},
		{
			"typ is no string or names no type", oursSaysNo, "RFC 7515 section 4.1.9; go-jose hands it to the caller", nil,
			func(in *input) bool {
				typ, isString := in.header["typ"].(string)
				var wrong *jose.MemberError
				named := strings.TrimPrefix(strings.ToLower(typ), "application/") != ""
				empty := errors.Is(in.err, jose.ErrTokenType) && !named
				return has(in.header, "typ") && (empty || errors.As(in.err, &wrong) && !isString)
			},
			headerExample("ES256", `{"alg":"ES256","kid":"es256","typ":7}`),
		},
		{
			"salt of a PSS signature has another length than the hash",
			oursSaysNo,
			"RFC 7518 section 3.5 fixes it; go-jose takes any",
			[]error{jose.ErrSignature},
			func(in *input) bool {
				alg, _ := in.header["alg"].(string)
				return strings.HasPrefix(alg, "PS") && bare(in.question)
			},
			func() question {
				s, input := by("PS256"), ""
				input = b64([]byte(s.header())) + "." + b64([]byte(plainClaims))
				signature, err := rsa.SignPSS(rand.Reader, s.key.(*rsa.PrivateKey), hashOf(s.alg), digest(s.alg, []byte(input)),
					&rsa.PSSOptions{SaltLength: 20})
				if err != nil {
					panic(err)
				}
				return question{[]byte(input + "." + b64(signature)), allKeys()}
			},
		},
	}
}

func has(o map[string]any, name string) bool { _, ok := o[name]; return ok }

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"x` + strings.Repeat("y", i) + `":1`)
	}
	return b.String()
}

// theirKey is the key go-jose uses: the first of the set with the token's kid.
func (in *input) theirKey() (text json.RawMessage, members map[string]any) {
	for i, k := range in.keys {
		if kid, _ := k["kid"].(string); kid != "" && kid == in.header["kid"] {
			return in.rawKeys[i], k
		}
	}
	return nil, nil
}

// oursUses reports whether ours would check the token with this key.
func (in *input) oursUses(text json.RawMessage) bool {
	k, err := jose.ParsePublicKey(text)
	alg, _ := in.header["alg"].(string)
	return err == nil && k.Fits(jose.Alg(alg))
}

// keyClasses are those where ours leaves a key out that go-jose uses.
func keyClasses() []class {
	key := func(f func(text json.RawMessage, k map[string]any, in *input) bool) func(*input) bool {
		return func(in *input) bool {
			text, k := in.theirKey()
			no := errors.Is(in.err, errNoKey) || errors.Is(in.err, jose.ErrSignature) // the second by another key of that kid
			return k != nil && no && !in.oursUses(text) && f(text, k, in)
		}
	}
	keyLook := func(f func(peculiar) bool) func(*input) bool {
		return key(func(text json.RawMessage, _ map[string]any, _ *input) bool {
			return f(look(text, "kty", "kid", "use", "key_ops", "alg", "crv", "n", "e", "x", "y", "d"))
		})
	}
	number := func(k map[string]any, name string) *big.Int {
		s, _ := k[name].(string)
		return new(big.Int).SetBytes(lax64(s))
	}
	return []class{
		{
			"key set is longer than 1 MiB", oursSaysNo, "bounded memory for what a server sends",
			[]error{jose.ErrTooLarge},
			func(in *input) bool { return len(in.set) > jose.MaxKeySet },
			func() question {
				q := keyExample("ES256", nil)()
				return question{q.token, append(bytes.Repeat([]byte(" "), jose.MaxKeySet), q.set...)}
			},
		},
		{
			"key set has more than 256 keys",
			oursSaysNo,
			"bounded work for what a server sends; the first 256 are used",
			[]error{errNoKey},
			func(in *input) bool { return len(in.rawKeys) > oursLimitKey },
			func() question {
				s := by("ES256")
				keys := slices.Repeat([]map[string]any{by("EdDSA").jwk}, oursLimitKey)
				return question{s.token(s.header(), plainClaims), keySet(append(keys, s.jwk)...)}
			},
		},
		{
			"keys is there twice, or in another case",
			oursSaysNo,
			"which of the two counts would be a matter of the reader; encoding/json folds case and takes the last",
			nil,
			func(in *input) bool { p := look(in.set, "keys"); return p.outermost["keys"] > 1 || p.otherCase },
			func() question {
				q := keyExample("ES256", nil)()
				return question{q.token, bytes.Replace(q.set, []byte(`"keys"`), []byte(`"Keys"`), 1)}
			},
		},
		{
			"use of the key is not sig", oursSaysNo, "RFC 7517 section 4.2; go-jose leaves that to the caller", nil,
			key(func(_ json.RawMessage, k map[string]any, _ *input) bool { return has(k, "use") && k["use"] != "sig" }),
			keyExample("ES256", map[string]any{"use": "enc"}),
		},
		{
			"key_ops has no verify", oursSaysNo, "RFC 7517 section 4.3; go-jose does not read it", nil,
			key(func(_ json.RawMessage, k map[string]any, _ *input) bool {
				ops, isList := k["key_ops"].([]any)
				isString := func(v any) bool { _, ok := v.(string); return !ok }
				return has(k, "key_ops") && (!isList || !slices.Contains(ops, any("verify")) || slices.ContainsFunc(ops, isString))
			}),
			keyExample("ES256", map[string]any{"key_ops": []string{"sign"}}),
		},
		{
			"alg of the key is another",
			oursSaysNo,
			"one key, one algorithm (RFC 8725 section 3.1); go-jose does not compare",
			nil,
			key(func(_ json.RawMessage, k map[string]any, in *input) bool {
				return has(k, "alg") && k["alg"] != in.header["alg"]
			}),
			keyExample("RS256", map[string]any{"alg": "PS256"}),
		},
		{
			"key has its private part, as null",
			oursSaysNo,
			"a member for the private part has no place in a public set; go-jose takes null for absent",
			nil,
			key(func(_ json.RawMessage, k map[string]any, _ *input) bool { v, there := k["d"]; return there && v == nil }),
			func() question {
				q := keyExample("ES256", nil)()
				return question{q.token, bytes.Replace(q.set, []byte(`"kty"`), []byte(`"d":null,"kty"`), 1)}
			},
		},
		{
			"RSA key is too weak",
			oursSaysNo,
			"2048 bits (RFC 7518 section 3.3), an exponent of at least 3, no key of the ROCA library; Go alone wants 1024",
			nil,
			key(func(text json.RawMessage, k map[string]any, _ *input) bool {
				_, err := jose.ParsePublicKey(text)
				small := number(k, "n").BitLen() < 2048 || number(k, "e").Cmp(big.NewInt(3)) < 0
				return k["kty"] == "RSA" && errors.Is(err, jose.ErrWeakKey) && (small || strings.Contains(err.Error(), "ROCA"))
			}),
			func() question {
				weak, err := rsa.GenerateKey(rand.Reader, 1024)
				if err != nil {
					panic(err)
				}
				s := newSigner("RS256", weak)
				return question{s.token(s.header(), plainClaims), keySet(s.jwk)}
			},
		},
		{
			"numbers of the key are not canonical base64url", oursSaysNo, "as in the token", nil,
			key(func(_ json.RawMessage, k map[string]any, _ *input) bool {
				return slices.ContainsFunc([]string{"n", "e", "x", "y"}, func(name string) bool {
					s, _ := k[name].(string)
					return b64(lax64(s)) != s
				})
			}),
			keyExample("EdDSA", map[string]any{"x": by("EdDSA").jwk["x"].(string) + "\n"}),
		},
		{
			"key is not UTF-8", oursSaysNo, "as in the token", nil, keyLook(func(p peculiar) bool { return p.notText }),
			func() question {
				q := keyExample("ES256", map[string]any{"x-note": "??"})()
				return question{q.token, bytes.Replace(q.set, []byte("??"), []byte("\xff"), 1)}
			},
		},
		{
			"key repeats a member below its top level",
			oursSaysNo,
			"as in the token",
			nil,
			keyLook(func(p peculiar) bool { return p.repeated }),
			func() question {
				q := keyExample("ES256", map[string]any{"x-note": map[string]int{"a": 1, "b": 2}})()
				return question{q.token, bytes.Replace(q.set, []byte(`"b":2`), []byte(`"a":2`), 1)}
			},
		},
		{
			"key has a known name in another case",
			oursSaysNo,
			"as in the token",
			nil,
			keyLook(func(p peculiar) bool { return p.otherCase }),
			keyExample("ES256", map[string]any{"Use": "enc"}),
		},
		{
			"key is nested deeper than 8 or has more than 64 members", oursSaysNo, "as in the token", nil,
			keyLook(func(p peculiar) bool { return p.depth > 8 || p.members > 64 }),
			keyExample("ES256", map[string]any{"x-note": [][][][][][][][]int{{}}, "x-more": deep(10)}),
		},
	}
}

// deep nests arrays.
func deep(n int) any {
	var v any = 1
	for range n {
		v = []any{v}
	}
	return v
}
