package dpop_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/dpop"
)

// FuzzProof signs any header and payload with the right key. What is taken has the claims of RFC 9449 section 4.2 as a
// careless reader finds them, is taken once, and no error repeats anything of it.
func FuzzProof(f *testing.F) {
	h := newHand(f)
	f.Add(h.header(), payload())
	f.Add(h.header(edit{"typ", `"jwt"`}), payload(edit{"iat", "1e9"}))
	f.Add(h.header(edit{"kid", `"x"`}, edit{"crit", "[]"}), payload(edit{"jti", `""`}))
	f.Add(strings.Replace(h.header(), h.public, `"kty":"oct","k":"AA"`, 1), payload(edit{"htu", `"HTTPS://RS.example.org:443/data/./set?q#f"`}))
	f.Add(h.header(edit{"jwk", "{" + h.public + `,"d":"AA"}`}), payload(edit{"htm", `"POST"`}, edit{"ath", `"AA"`}))
	f.Add(h.header(), payload(edit{"nonce", "null"}, edit{"exp", "1"}, edit{"nbf", "9e9"}))
	f.Fuzz(func(t *testing.T, header, body string) {
		// The key is made anew by every process of the fuzzer; what was found with another one goes on being of use.
		header = replaceJWK(header, h.public)
		c, proof := checker(t), h.sign(header, body)
		err := c.Check([]string{proof}, h.request())
		if err != nil {
			if !errors.Is(err, dpop.ErrProof) && !errors.Is(err, dpop.ErrBinding) {
				t.Fatalf("%v is no error of this package", err)
			}
			return
		}
		var claims struct{ Htm, Ath, Jti string }
		if json.Unmarshal([]byte(body), &claims) != nil || claims.Htm != atMethod || claims.Ath != hashOf(atToken) || claims.Jti == "" {
			t.Fatalf("taken: %s %s", header, body)
		}
		if err := c.Check([]string{proof}, h.request()); !errors.Is(err, dpop.ErrReplay) {
			t.Fatalf("a second time: %v", err)
		}
	})
}

// replaceJWK puts the members of a key in the place of those that are there.
func replaceJWK(header, public string) string {
	begin := strings.Index(header, `"kty":"EC"`)
	if begin < 0 {
		return header
	}
	end := strings.IndexAny(header[begin:], "}")
	if end < 0 {
		return header
	}
	return header[:begin] + public + header[begin+end:]
}

// FuzzProofHeaders: any bytes as the headers of a request.
func FuzzProofHeaders(f *testing.F) {
	h := newHand(f)
	request := h.request()
	f.Add(h.sign(h.header(), payload()), "")
	f.Add("a.b.c", "x")
	f.Fuzz(func(t *testing.T, one, two string) {
		c := checker(t)
		headers := []string{one}
		if two != "" {
			headers = append(headers, two)
		}
		if err := c.Check(headers, request); err == nil && (two != "" || strings.Count(one, ".") != 2) {
			t.Fatalf("taken: %q", headers)
		}
		if n := c.Remembered(); n > 1 {
			t.Fatalf("%d proofs are remembered", n)
		}
	})
}
