package dpop_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// The proofs are made with crypto/* and string work alone, so that nothing jose gets wrong can hide in how they are
// made. What each has to come to is written down from RFC 9449, the section stands beside it.

const (
	atNow    = 1_800_000_000
	atURL    = "https://rs.example.org/data/set"
	atToken  = "token.of.somebody"
	atMethod = "GET"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// hand makes proofs.
type hand struct {
	key    *ecdsa.PrivateKey
	public string // members of its JWK
}

func newHand(t testing.TB) *hand {
	t.Helper()
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	point := must(k.PublicKey.Bytes())
	return &hand{k, fmt.Sprintf(`"kty":"EC","crv":"P-256","x":%q,"y":%q`, b64(point[1:33]), b64(point[33:]))}
}

func (h *hand) thumbprint() string { return thumbprint("{" + h.public + "}") }

func thumbprint(jwk string) string { return must(jose.ParsePublicKey([]byte(jwk))).Thumbprint() }

func (h *hand) sign(header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		panic(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return input + "." + b64(sig)
}

// edit changes one member of a proof: name and raw value, "" to leave it out.
type edit struct{ name, value string }

func object(members []edit, edits ...edit) string {
	var list []string
	for _, m := range members {
		for _, e := range edits {
			if e.name == m.name {
				m.value = e.value
			}
		}
		if m.value != "" {
			list = append(list, fmt.Sprintf("%q:%s", m.name, m.value))
		}
	}
	for _, e := range edits {
		known := false
		for _, m := range members {
			known = known || m.name == e.name
		}
		if !known {
			list = append(list, fmt.Sprintf("%q:%s", e.name, e.value))
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

func (h *hand) header(edits ...edit) string {
	return object([]edit{{"typ", `"dpop+jwt"`}, {"alg", `"ES256"`}, {"jwk", "{" + h.public + "}"}}, edits...)
}

var serial int

func payload(edits ...edit) string {
	serial++
	return object([]edit{
		{"jti", fmt.Sprintf(`"proof-%d"`, serial)},
		{"htm", `"` + atMethod + `"`},
		{"htu", `"` + atURL + `"`},
		{"iat", fmt.Sprint(atNow)},
		{"ath", `"` + hashOf(atToken) + `"`},
	}, edits...)
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:])
}

func (h *hand) request() dpop.Request {
	return dpop.Request{Method: atMethod, URL: atURL, Token: sha256.Sum256([]byte(atToken)), Key: h.thumbprint()}
}

func checker(t testing.TB, edits ...func(*dpop.Options)) *dpop.Checker {
	t.Helper()
	o := dpop.Options{Now: func() time.Time { return time.Unix(atNow, 0) }}
	for _, e := range edits {
		e(&o)
	}
	c, err := dpop.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExampleOfTheRFC is RFC 9449 section 7.1: the token, the proof, the key of section 6.1.
func TestExampleOfTheRFC(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj" +
		"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z" +
		"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF" +
		"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E" +
		"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	request := dpop.Request{
		Method: "GET", URL: "https://resource.example.org/protectedresource",
		Token: sha256.Sum256([]byte("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")),
		Key:   "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
	}
	c := checker(t, func(o *dpop.Options) { o.Now = func() time.Time { return time.Unix(1562262620, 0) } })
	if err := c.Check([]string{proof}, request); err != nil {
		t.Fatal(err)
	}
	if err := c.Check([]string{proof}, request); !errors.Is(err, dpop.ErrReplay) {
		t.Errorf("the same proof again: %v", err)
	}
}

// hostile is one proof that must be refused, and why.
type hostile struct {
	name, source string
	proof        string
	want         error
}

func hostileHeaders(t *testing.T, h *hand) []hostile {
	other := newHand(t)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 1024))
	weak := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, b64(rsaKey.N.Bytes()))
	head := func(edits ...edit) string { return h.sign(h.header(edits...), payload()) }
	jwk := func(more string) string { return head(edit{"jwk", "{" + h.public + more + "}"}) }
	none := h.header(edit{"alg", `"none"`})
	mac := hmac.New(sha256.New, []byte(h.public))
	symmetric := b64([]byte(h.header(edit{"alg", `"HS256"`}, edit{"jwk", `{"kty":"oct","k":"AAAA"}`}))) + "." +
		b64([]byte(payload()))
	mac.Write([]byte(symmetric))
	return []hostile{
		{"no_typ", "4.3 (4)", head(edit{"typ", ""}), dpop.ErrProof},
		{"typ_of_a_token", "4.3 (4)", head(edit{"typ", `"at+jwt"`}), dpop.ErrProof},
		{"typ_jwt", "4.3 (4)", head(edit{"typ", `"JWT"`}), dpop.ErrProof},
		{"typ_is_a_number", "4.3 (4)", head(edit{"typ", `1`}), dpop.ErrProof},
		{"alg_none", "4.3 (5)", b64([]byte(none)) + "." + b64([]byte(payload())) + ".", dpop.ErrProof},
		{"alg_none_with_a_signature", "4.3 (5)", h.sign(none, payload()), dpop.ErrProof},
		{"alg_symmetric", "4.3 (5)", symmetric + "." + b64(mac.Sum(nil)), dpop.ErrProof},
		{"alg_of_another_key", "4.3 (5)", head(edit{"alg", `"RS256"`}), dpop.ErrProof},
		{"alg_missing", "4.3 (5)", head(edit{"alg", ""}), dpop.ErrProof},
		{"no_jwk", "4.2", head(edit{"jwk", ""}), dpop.ErrProof},
		{"jwk_is_a_string", "4.2", head(edit{"jwk", `"key"`}), dpop.ErrProof},
		{"jwk_is_null", "4.2", head(edit{"jwk", `null`}), dpop.ErrProof},
		{"jwk_empty", "4.2", head(edit{"jwk", `{}`}), dpop.ErrProof},
		{"jwk_with_its_private_part", "4.3 (7)", jwk(`,"d":"` + b64(must(h.key.Bytes())) + `"`), dpop.ErrProof},
		{"jwk_with_a_prime", "4.3 (7)", jwk(`,"p":"AAAA"`), dpop.ErrProof},
		{"jwk_with_a_secret", "4.3 (7)", jwk(`,"k":"AAAA"`), dpop.ErrProof},
		{"jwk_for_encryption", "RFC 7517 4.2", jwk(`,"use":"enc"`), dpop.ErrProof},
		{"jwk_for_another_algorithm", "RFC 7517 4.4", jwk(`,"alg":"ES384"`), dpop.ErrProof},
		{"jwk_twice", "RFC 7515 4", h.sign(`{"typ":"dpop+jwt","alg":"ES256","jwk":{`+other.public+`},"jwk":{`+
			h.public+`}}`, payload()), dpop.ErrProof},
		{"jwk_in_another_case_too", "RFC 7515 4", head(edit{"JWK", "{" + other.public + "}"}), dpop.ErrProof},
		{"jwk_weak", "RFC 7518 3.3", h.sign(h.header(edit{"alg", `"RS256"`}, edit{"jwk", weak}), payload()), dpop.ErrProof},
		{"crit", "RFC 7515 4.1.11", head(edit{"crit", `["x"]`}, edit{"x", `1`}), dpop.ErrProof},
		{"signed_by_another", "4.3 (6)", other.sign(h.header(), payload()), dpop.ErrProof},
		{"key_of_another", "4.3 (12)", other.sign(other.header(), payload()), dpop.ErrBinding},
		{"kid_for_jwk", "4.2", head(edit{"jwk", ""}, edit{"kid", `"a"`}), dpop.ErrProof},
		{"jku_for_jwk", "4.2, RFC 8725 3.10", head(edit{"jwk", ""}, edit{"jku", `"https://evil.example/"`}), dpop.ErrProof},
	}
}

func hostileClaims(h *hand) []hostile {
	claim := func(edits ...edit) string { return h.sign(h.header(), payload(edits...)) }
	at := func(seconds int) string { return claim(edit{"iat", fmt.Sprint(atNow + seconds)}) }
	url := func(u string) string { return claim(edit{"htu", `"` + u + `"`}) }
	list := []hostile{
		{"other_method", "4.3 (8)", claim(edit{"htm", `"POST"`}), dpop.ErrRequest},
		{"method_in_lower_case", "4.3 (8), RFC 9110 9.1", claim(edit{"htm", `"get"`}), dpop.ErrRequest},
		{"other_host", "4.3 (9)", url("https://evil.example.org/data/set"), dpop.ErrRequest},
		{"other_path", "4.3 (9)", url("https://rs.example.org/data/set/"), dpop.ErrRequest},
		{"path_in_capitals", "4.3 (9)", url("https://rs.example.org/Data/set"), dpop.ErrRequest},
		{"path_below", "4.3 (9)", url("https://rs.example.org/data/set/x"), dpop.ErrRequest},
		{"path_that_goes_up", "4.3 (9)", url("https://rs.example.org/data/set/.."), dpop.ErrRequest},
		{"encoded_slash", "4.3 (9), RFC 3986 2.2", url("https://rs.example.org/data%2Fset"), dpop.ErrRequest},
		{"other_port", "4.3 (9)", url("https://rs.example.org:8443/data/set"), dpop.ErrRequest},
		{"other_scheme", "4.3 (9)", url("http://rs.example.org/data/set"), dpop.ErrRequest},
		{"a_user_in_front", "4.3 (9)", url("https://rs.example.org@evil.example/data/set"), dpop.ErrRequest},
		{"our_name_as_user", "4.3 (9)", url("https://u@rs.example.org/data/set"), dpop.ErrRequest},
		{"relative_url", "4.2 (htu)", url("/data/set"), dpop.ErrRequest},
		{"empty_url", "4.2 (htu)", url(""), dpop.ErrProof},
		{"no_url_at_all", "4.2 (htu)", url("::"), dpop.ErrRequest},
		{"no_ath", "4.3 (12)", claim(edit{"ath", ""}), dpop.ErrProof},
		{"ath_of_another_token", "4.3 (12)", claim(edit{"ath", `"` + hashOf("other") + `"`}), dpop.ErrRequest},
		{"ath_with_padding", "4.2 (ath)", claim(edit{"ath", `"` + hashOf(atToken) + `="`}), dpop.ErrRequest},
		{"ath_is_the_token", "4.2 (ath)", claim(edit{"ath", `"` + atToken + `"`}), dpop.ErrRequest},
		{"too_old", "4.3 (11)", at(-61), dpop.ErrAge},
		{"from_the_future", "4.3 (11)", at(31), dpop.ErrAge},
		{"from_next_year", "4.3 (11)", at(31_536_000), dpop.ErrAge},
		{"in_milliseconds", "RFC 7519 2", claim(edit{"iat", fmt.Sprint(atNow * 1000)}), dpop.ErrProof},
		{"iat_zero", "4.3 (11)", claim(edit{"iat", "0"}), dpop.ErrAge},
		{"expired", "RFC 7519 4.1.4", claim(edit{"exp", fmt.Sprint(atNow)}), dpop.ErrAge},
		{"not_yet", "RFC 7519 4.1.5", claim(edit{"nbf", fmt.Sprint(atNow + 31)}), dpop.ErrAge},
		{"jti_empty", "4.2 (jti)", claim(edit{"jti", `""`}), dpop.ErrProof},
		{"jti_as_long_as_a_book", "11.1", claim(edit{"jti", `"` + strings.Repeat("a", 2000) + `"`}), dpop.ErrProof},
		{"twice_htm", "RFC 7519 4", h.sign(h.header(), strings.TrimSuffix(payload(), "}")+`,"htm":"GET"}`), dpop.ErrProof},
		{"case_variant", "RFC 7519 4", claim(edit{"HTM", `"POST"`}), dpop.ErrProof},
		{"payload_is_no_object", "4.3 (2)", h.sign(h.header(), `[1]`), dpop.ErrProof},
		{"no_payload", "4.3 (2)", h.sign(h.header(), ``), dpop.ErrProof},
	}
	for _, name := range []string{"jti", "htm", "htu", "iat"} {
		list = append(list, hostile{"no_" + name, "4.3 (3)", claim(edit{name, ""}), dpop.ErrProof})
	}
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath", "exp", "nbf"} {
		for kind, raw := range map[string]string{"null": "null", "an_array": `["GET"]`, "true": "true"} {
			list = append(list, hostile{name + "_is_" + kind, "4.3 (3)", claim(edit{name, raw}), dpop.ErrProof})
		}
	}
	return append(list,
		hostile{"iat_is_a_string", "4.2 (iat)", claim(edit{"iat", fmt.Sprintf("%q", fmt.Sprint(atNow))}), dpop.ErrProof},
		hostile{"htm_is_a_number", "4.2 (htm)", claim(edit{"htm", "1"}), dpop.ErrProof})
}

func TestHostileProofs(t *testing.T) {
	h := newHand(t)
	good := h.sign(h.header(), payload())
	list := append(hostileHeaders(t, h), hostileClaims(h)...)
	list = append(list,
		hostile{"empty", "4.3 (2)", "", dpop.ErrProof},
		hostile{"no_jwt", "4.3 (2)", "abc", dpop.ErrProof},
		hostile{"two_in_one_header", "4.3 (1)", good + ", " + good, dpop.ErrProof},
		hostile{"padding", "4.3 (2)", good + "=", dpop.ErrProof},
		hostile{"json_serialisation", "4.3 (2)", `{"payload":"e30","signatures":[]}`, dpop.ErrProof},
		hostile{"encrypted", "4.3 (2)", "a.b.c.d.e", dpop.ErrProof},
		hostile{"a_large_one", "our limit", good + strings.Repeat("A", dpop.MaxProof), dpop.ErrProof},
	)
	c := checker(t)
	seen := map[string]bool{}
	for _, a := range list {
		if seen[a.name] {
			t.Fatalf("two proofs are called %s", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			err := c.Check([]string{a.proof}, h.request())
			if !errors.Is(err, a.want) {
				t.Fatalf("%v, RFC 9449 %s wants %v", err, a.source, a.want)
			}
		})
	}
	t.Logf("%d hostile proofs", len(list))
	if len(list) < 80 {
		t.Error("the set has shrunk")
	}
	if err := c.Check([]string{good}, h.request()); err != nil {
		t.Errorf("the good one between them: %v", err)
	}
}

func TestNumberOfProofs(t *testing.T) {
	h, c := newHand(t), checker(t)
	good := h.sign(h.header(), payload())
	if err := c.Check(nil, h.request()); !errors.Is(err, dpop.ErrNoProof) {
		t.Errorf("no proof: %v", err)
	}
	for _, two := range [][]string{{good, good}, {good, ""}, {"", good}, {"x", good}} {
		if err := c.Check(two, h.request()); !errors.Is(err, dpop.ErrProof) {
			t.Errorf("two headers: %v", err)
		}
	}
	if err := c.Check([]string{good}, h.request()); err != nil {
		t.Errorf("refused proofs have used it up: %v", err)
	}
}

func TestGoodProofs(t *testing.T) {
	h, c := newHand(t), checker(t)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, edits := range map[string][]edit{
		"plain":                     nil,
		"a_minute_old":              {{"iat", fmt.Sprint(atNow - 60)}},
		"half_a_minute_ahead":       {{"iat", fmt.Sprint(atNow + 30)}},
		"a_fraction_of_a_second":    {{"iat", fmt.Sprintf("%d.25", atNow-1)}},
		"more_claims":               {{"x", `{"y":[1]}`}},
		"not_expired":               {{"exp", fmt.Sprint(atNow + 1)}},
		"nonce_nobody_asked_for":    {{"nonce", `"n"`}},
		"scheme_and_host_in_mixed":  {{"htu", `"HTTPS://RS.Example.org/data/set"`}},
		"default_port":              {{"htu", `"https://rs.example.org:443/data/set"`}},
		"empty_port":                {{"htu", `"https://rs.example.org:/data/set"`}},
		"encoded_letter":            {{"htu", `"https://rs.example.org/d%61ta/set"`}},
		"dots":                      {{"htu", `"https://rs.example.org/./data/x/../set"`}},
		"query_and_fragment_or_not": {{"htu", `"https://rs.example.org/data/set?a=b#c"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Check([]string{h.sign(h.header(), payload(edits...))}, h.request()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("media_type", func(t *testing.T) {
		p := h.sign(h.header(edit{"typ", `"application/DPoP+jwt"`}), payload())
		if err := c.Check([]string{p}, h.request()); err != nil {
			t.Error(err)
		}
	})
	t.Run("request_with_query", func(t *testing.T) {
		r := h.request()
		r.URL += "?page=2"
		if err := c.Check([]string{h.sign(h.header(), payload())}, r); err != nil {
			t.Error(err)
		}
	})
	t.Run("ed25519", func(t *testing.T) {
		jwk := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, b64(ed.Public().(ed25519.PublicKey)))
		input := b64([]byte(h.header(edit{"alg", `"EdDSA"`}, edit{"jwk", jwk}))) + "." + b64([]byte(payload()))
		r := h.request()
		r.Key = thumbprint(jwk)
		if err := c.Check([]string{input + "." + b64(ed25519.Sign(ed, []byte(input)))}, r); err != nil {
			t.Error(err)
		}
	})
}

// TestRequestThatSaysNothing: a caller that does not know what was asked for cannot have it proven.
func TestRequestThatSaysNothing(t *testing.T) {
	h, c := newHand(t), checker(t)
	for name, change := range map[string]func(*dpop.Request){
		"no_method":    func(r *dpop.Request) { r.Method = "" },
		"no_url":       func(r *dpop.Request) { r.URL = "" },
		"relative_url": func(r *dpop.Request) { r.URL = "/data/set" },
		"no_key":       func(r *dpop.Request) { r.Key = "" },
		"no_token":     func(r *dpop.Request) { r.Token = [sha256.Size]byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			r := h.request()
			change(&r)
			proof := h.sign(h.header(), payload(edit{"htm", fmt.Sprintf("%q", r.Method)}, edit{"htu", `"` + r.URL + `"`}))
			if err := c.Check([]string{proof}, r); err == nil {
				t.Error("accepted")
			}
		})
	}
}
