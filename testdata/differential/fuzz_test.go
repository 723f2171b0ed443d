package differential

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// compare asks both sides. What they answer differently has to be of a class that is in the table, and whatever ours
// believes has to be right for the standard library alone.
func compare(t *testing.T, q question) (class string, strict side) {
	t.Helper()
	o, g := ours(q), theirs(q)
	if o.yes() && !bare(q) {
		t.Errorf("ours believes a token whose signature is wrong\ntoken %q\nset %q", q.token, q.set)
	}
	switch {
	case o.yes() && g.yes():
		if !bytes.Equal(o.payload, g.payload) {
			t.Errorf("two payloads: ours %q, go-jose %q\ntoken %q\nset %q", o.payload, g.payload, q.token, q.set)
		}
		return "", ""
	case o.yes():
		strict, class = theirsSayNo, classOf(newInput(q, g.err), theirsSayNo)
	case g.yes():
		strict, class = oursSaysNo, classOf(newInput(q, o.err), oursSaysNo)
	default:
		return "", ""
	}
	if class == "" {
		t.Errorf("only one of the two says no, and no class says why\nours %v\ngo-jose %v\ntoken %q\nset %q",
			o.err, g.err, q.token, q.set)
	}
	return class, strict
}

// TestEveryClass holds the table from the other side: each class has an example, which is of that class and not of one
// before it.
func TestEveryClass(t *testing.T) {
	for _, c := range classes() {
		class, strict := compare(t, c.example())
		if class != c.name || strict != c.strict {
			t.Errorf("the example of %q (%s says no) is of class %q (%s says no)", c.name, c.strict, class, strict)
		}
		if c.why == "" {
			t.Errorf("%q has no reason", c.name)
		}
	}
}

// TestUsualTokens: with nothing peculiar the two agree, and say yes.
func TestUsualTokens(t *testing.T) {
	for _, s := range signers() {
		q := question{s.token(s.header(), plainClaims), allKeys()}
		if o, g := ours(q), theirs(q); !o.yes() || !g.yes() {
			t.Errorf("%s: ours %v, go-jose %v", s.alg, o.err, g.err)
		}
	}
}

// examples are those of the classes that are small and quickly made: every process of the fuzzer makes them.
func examples() []question {
	var out []question
	for _, c := range classes() {
		if strings.HasPrefix(c.name, "RSA key has more than") {
			continue // seconds for a key
		}
		if q := c.example(); len(q.token) < 4<<10 && len(q.set) < 4<<10 {
			out = append(out, q)
		}
	}
	return out
}

// FuzzToken changes bytes of right tokens and of their key sets.
func FuzzToken(f *testing.F) {
	for _, s := range signers() {
		f.Add(s.token(s.header(), plainClaims), keySet(s.jwk))
	}
	for _, q := range examples() {
		f.Add(q.token, q.set)
	}
	f.Fuzz(func(t *testing.T, token, set []byte) { compare(t, question{token, set}) })
}

// FuzzHeader signs any header over any payload with the right key: what is refused is refused for the header.
func FuzzHeader(f *testing.F) {
	for i, s := range signers() {
		f.Add(byte(i), []byte(s.header()), []byte(plainClaims))
		f.Add(byte(i), []byte(`{"typ":"at+jwt","alg":"`+s.alg+`","kid":"`+s.kid+`","x":[1,{"y":null}]}`), []byte(""))
	}
	es256 := slices.IndexFunc(signers(), func(s signer) bool { return s.alg == "ES256" })
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"HS256","kid":"rs256"}`, `{"alg":"es256","kid":"es256"}`, `{"alg":["ES256"],"kid":"es256"}`,
		`{"alg":"ES256","kid":"es384"}`, `{"alg":"ES256","alg":"ES256","kid":"es256"}`, `{"alg":"ES256","kid":null}`,
		`{"alg":"ES256","kid":"es256","crit":[]}`, `{"alg":"ES256","kid":"es256","b64":false,"crit":["b64"]}`,
		`{"alg":"ES256","kid":"es256","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"ES256","kid":"es256","typ":"application/"}`,
		`{"alg":"ES256","kid":"es256","x":1e999}`, `{"alg":"ES256","kid":"es256"}{}`, ` {"alg":"ES256","kid":"es256"} `,
		`{"alg":"ES256","kid":"\ud83d"}`, `[{"alg":"ES256","kid":"es256"}]`, `null`, ``,
	} {
		f.Add(byte(es256), []byte(header), []byte(plainClaims))
	}
	f.Fuzz(func(t *testing.T, n byte, header, payload []byte) {
		s := signers()[int(n)%len(signers())]
		compare(t, question{s.token(string(header), string(payload)), keySet(s.jwk, by("ES384").jwk)})
	})
}

// FuzzKeySet checks one right token of every algorithm with any key set.
func FuzzKeySet(f *testing.F) {
	f.Add(allKeys())
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`[]`))
	for _, q := range examples() {
		f.Add(q.set)
	}
	var tokens [][]byte
	for _, s := range signers() {
		tokens = append(tokens, s.token(s.header(), plainClaims))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		for _, token := range tokens {
			compare(t, question{token, set})
		}
	})
}
