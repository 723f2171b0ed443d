package verify_test

import (
	"context"
	"crypto"
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
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// The attack set: tokens written down from the RFCs and the profiles, each with the verdict they demand and where they
// do. They are made with crypto/* and string work alone, so that nothing jose gets wrong can hide in how they are made.
// Most vary one thing of a token that is otherwise accepted; the accepted ones stand beside them to show it.

const (
	atkNow    = 1_800_000_000
	atkIssuer = "https://op.example.org"
	atkOther  = "https://other.example.org"
	atkAud    = "https://se.example.org"
)

// attempt is one token. Edits of head and body are "name=JSON" (replace or append), "name=" (remove) and "+name=JSON"
// (append even if it is there).
type attempt struct {
	name, source string
	want         string // class of the refusal, alternatives split by "|"; "" when it must be accepted
	base         string // claims to start from: "" generic, wlcg, scitokens, at
	alg          string // of header and signature; default ES256
	key          string // private key, when it is not the usual one of alg
	kid          string // of the header, when it is not that of key; "-" for none
	head, body   []string
	rawHead      string // instead of head
	rawBody      string // instead of body
	raw          func(*forge) string
	after        func(f *forge, token string) string
	set          []string // further keys of the issuer, as JWK
	conf         func(*verify.Config)
}

// attempts is the whole set.
func attempts() []attempt {
	return slices.Concat(formAttempts(), headerAttempts(), algAttempts(), payloadAttempts(), issuerAttempts(),
		keyAttempts(), signatureAttempts(), timeAttempts(), profileAttempts(), audienceAttempts(), kindAttempts())
}

func TestAttackSet(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	list := attempts()
	refused, names := 0, map[string]bool{}
	for _, a := range list {
		if a.want != "" {
			refused++
		}
		if names[a.name] {
			t.Errorf("two attempts are called %s", a.name)
		}
		names[a.name] = true
		t.Run(a.name, func(t *testing.T) { f.judge(t, a) })
	}
	t.Logf("%d tokens: %d to refuse, %d to accept", len(list), refused, len(list)-refused)
	if len(list) < 150 || refused < 100 || len(list)-refused < 40 {
		t.Errorf("the set has shrunk: %d tokens, %d to refuse", len(list), refused)
	}
}

func (f *forge) judge(t *testing.T, a attempt) {
	t.Helper()
	set, _, err := jose.ParseKeySet([]byte(f.jwks(a.set)))
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := jose.ParseKeySet([]byte(`{"keys":[` + f.public["other"] + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	c := verify.Config{
		Issuers:   []verify.Issuer{{URL: atkIssuer, Keys: set}, {URL: atkOther, Keys: other}},
		Audiences: []string{atkAud},
		Now:       func() time.Time { return time.Unix(atkNow, 0) },
	}
	if a.conf != nil {
		a.conf(&c)
	}
	token := []byte(f.token(t, a))
	a.verdict(t, "alone", c, token)
	// A cache must change no verdict: not when it learns the token, not when it knows it, and not for another verifier
	// that shares it.
	c.Cache = verify.NewCache(0)
	a.verdict(t, "first with a cache", c, token)
	a.verdict(t, "a new verifier with the cache of the first", c, token, token, token)
}

// verdict gives tokens, which are one, to a verifier.
func (a attempt) verdict(t *testing.T, how string, c verify.Config, tokens ...[]byte) {
	t.Helper()
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for i, token := range tokens {
		id, err := v.Verify(context.Background(), token)
		switch got := refusalClass(err); {
		case a.want == "" && err != nil:
			t.Errorf("%s, %d: refused (%s): %v; %s says it is to be accepted", how, i, got, err, a.source)
		case a.want != "" && err == nil:
			t.Errorf("%s, %d: accepted as %s %s; %s says it is to be refused (%s)", how, i, id.Profile, id.Subject, a.source,
				a.want)
		case !slices.Contains(strings.Split(a.want, "|"), got):
			t.Errorf("%s, %d: refused as %q (%v), wanted is %q by %s", how, i, got, err, a.want, a.source)
		}
	}
}

// refusalClass sorts the errors of the three packages by what was wrong with the token.
func refusalClass(err error) string {
	if err == nil {
		return ""
	}
	classes := []struct {
		name string
		errs []error
	}{
		{"size", []error{jose.ErrTooLarge}},
		{"form", []error{jose.ErrCharacters, jose.ErrShape, jose.ErrEncrypted, jose.ErrSerialization, jose.ErrBase64}},
		{"json", []error{jose.ErrJSON, jose.ErrDepth, jose.ErrMembers, jose.ErrCaseVariant}},
		{"header", []error{jose.ErrCritical, jose.ErrTokenType, jose.ErrNested}},
		{"alg", []error{claims.ErrProfileAlgorithm}},
		{"issuer", []error{verify.ErrUntrustedIssuer}},
		{"key", []error{verify.ErrNoKey, jose.ErrKeyMismatch, jose.ErrWeakKey, claims.ErrNoKeyID}},
		{"signature", []error{jose.ErrSignature}},
		{"time", []error{
			verify.ErrExpired, verify.ErrNotYet, verify.ErrIssuedAhead, verify.ErrTimes, verify.ErrLifetime,
		}},
		{"claim", []error{claims.ErrScopePath, claims.ErrUnknownClaim}},
		{"profile", []error{claims.ErrTwoProfiles, claims.ErrVersion}},
		{"kind", []error{claims.ErrIDToken}},
		{"binding", []error{
			claims.ErrSenderConstrained, verify.ErrUnbound, verify.ErrScheme, verify.ErrCertificate, dpop.ErrBinding,
		}},
		{"proof", []error{dpop.ErrProof}},
	}
	for _, c := range classes {
		if slices.ContainsFunc(c.errs, func(e error) bool { return errors.Is(err, e) }) {
			return c.name
		}
	}
	return typedClass(err)
}

func typedClass(err error) string {
	var (
		alg      *jose.AlgorithmError
		member   *jose.MemberError
		missing  *claims.MissingError
		value    *claims.ValueError
		profile  *claims.ProfileError
		audience *verify.AudienceError
	)
	switch {
	case verify.Temporary(err):
		return "unavailable"
	case errors.As(err, &alg):
		return "alg"
	case errors.As(err, &audience):
		return "audience"
	case errors.As(err, &profile):
		return "profile"
	case errors.As(err, &member), errors.As(err, &missing), errors.As(err, &value), errors.Is(err, jose.ErrMissing):
		return "claim" // or a member of the header
	}
	return "unknown: " + err.Error()
}

// forge makes tokens and key sets without any of the code under test.
type forge struct {
	private map[string]crypto.Signer
	public  map[string]string // JWK
}

var forgeKeys = sync.OnceValues(func() (map[string]crypto.Signer, error) {
	keys := map[string]crypto.Signer{}
	for name, c := range map[string]elliptic.Curve{
		"e1": elliptic.P256(), "e2": elliptic.P256(), "e3": elliptic.P384(), "e5": elliptic.P521(),
		"other": elliptic.P256(), "evil": elliptic.P256(),
	} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			return nil, err
		}
		keys[name] = k
	}
	for name, bits := range map[string]int{"r1": 2048, "weak": 1024} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		keys[name] = k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	keys["d1"] = ed
	return keys, err
})

func newForge(t *testing.T) *forge {
	t.Helper()
	keys, err := forgeKeys()
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{private: keys, public: map[string]string{}}
	for name := range keys {
		f.public[name] = f.jwk(name, name, "")
	}
	return f
}

// jwk is the public part of a key under a kid, with more members as they stand.
func (f *forge) jwk(name, kid, more string) string {
	var b string
	switch k := f.private[name].(type) {
	case *ecdsa.PrivateKey:
		point, err := k.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		n := (len(point) - 1) / 2
		crv := map[int]string{32: "P-256", 48: "P-384", 66: "P-521"}[n]
		b = fmt.Sprintf(`"kty":"EC","crv":%q,"x":%q,"y":%q`, crv, b64(point[1:1+n]), b64(point[1+n:]))
	case *rsa.PrivateKey:
		b = fmt.Sprintf(`"kty":"RSA","n":%q,"e":"AQAB"`, b64(k.N.Bytes()))
	case ed25519.PrivateKey:
		b = fmt.Sprintf(`"kty":"OKP","crv":"Ed25519","x":%q`, b64(k.Public().(ed25519.PublicKey)))
	}
	return fmt.Sprintf(`{"kid":%q,%s%s}`, kid, b, more)
}

// jwks is the key set of the issuer: the good keys and further ones.
func (f *forge) jwks(further []string) string {
	keys := []string{f.public["e1"], f.public["r1"], f.public["e3"], f.public["e5"], f.public["d1"]}
	for _, s := range further {
		if strings.HasPrefix(s, "{") {
			keys = append(keys, s)
			continue
		}
		name, more, _ := strings.Cut(s, ",") // "e2,"use":"enc""
		if more != "" {
			more = "," + more
		}
		keys = append(keys, f.jwk(name, name, more))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func (f *forge) token(t *testing.T, a attempt) string {
	t.Helper()
	if a.raw != nil {
		return a.raw(f)
	}
	token := f.make(a)
	if a.after != nil {
		token = a.after(f, token)
	}
	return token
}

func (f *forge) make(a attempt) string {
	input := b64([]byte(f.head(a))) + "." + b64([]byte(body(a)))
	return input + "." + b64(f.sign(a, input))
}

func algOf(a attempt) string {
	if a.alg == "" {
		return "ES256"
	}
	return a.alg
}

func keyOf(a attempt) string {
	if a.key != "" {
		return a.key
	}
	return map[string]string{"ES2": "e1", "ES3": "e3", "ES5": "e5", "EdD": "d1", "Ed2": "d1"}[algOf(a)[:3]] +
		map[string]string{"RS": "r1", "PS": "r1"}[algOf(a)[:2]]
}

func (f *forge) head(a attempt) string {
	if a.rawHead != "" {
		return a.rawHead
	}
	members := []string{`alg="` + algOf(a) + `"`}
	switch {
	case a.kid == "":
		members = append(members, `kid="`+keyOf(a)+`"`)
	case a.kid != "-":
		members = append(members, `kid="`+a.kid+`"`)
	}
	if a.base == "at" {
		members = append(members, `typ="at+jwt"`)
	}
	return object(members, a.head)
}

func body(a attempt) string {
	if a.rawBody != "" {
		return a.rawBody
	}
	members := []string{
		`iss="` + atkIssuer + `"`, `sub="alice"`, `aud="` + atkAud + `"`,
		fmt.Sprintf("iat=%d", atkNow-60), fmt.Sprintf("exp=%d", atkNow+600),
	}
	switch a.base {
	case "wlcg":
		members = append(members, `wlcg.ver="1.0"`, `jti="1"`, `scope="storage.read:/"`, fmt.Sprintf("nbf=%d", atkNow-60))
	case "scitokens":
		members = append(members, `ver="scitoken:2.0"`, `jti="1"`, `scope="read:/"`, fmt.Sprintf("nbf=%d", atkNow-60))
	case "at":
		members = append(members, `client_id="c"`, `jti="1"`)
	}
	return object(members, a.body)
}

// object applies edits to members and writes both as they stand.
func object(members, edits []string) string {
	for _, e := range edits {
		name, value, _ := strings.Cut(e, "=")
		if strings.HasPrefix(e, "+") {
			members = append(members, e[1:])
			continue
		}
		at := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, name+"=") })
		switch {
		case value == "" && at >= 0:
			members = slices.Delete(members, at, at+1)
		case at >= 0:
			members[at] = e
		default:
			members = append(members, e)
		}
	}
	var b strings.Builder
	for i, m := range members {
		name, value, _ := strings.Cut(m, "=")
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%s":%s`, name, value)
	}
	return "{" + b.String() + "}"
}

func (f *forge) sign(a attempt, input string) []byte {
	alg := algOf(a)
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[len(alg)-3:]]
	if strings.HasPrefix(alg, "Ed") {
		hash = 0
	}
	digest := []byte(input)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	switch k := f.private[keyOf(a)].(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			panic(err)
		}
		return rs(r, s, (k.Curve.Params().BitSize+7)/8)
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = hash
		if strings.HasPrefix(alg, "PS") {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		return must(k.Sign(rand.Reader, digest, opts))
	case ed25519.PrivateKey:
		return ed25519.Sign(k, digest)
	}
	panic("no key " + keyOf(a))
}

// rs is an ECDSA signature as RFC 7518 section 3.4 writes it, n bytes each.
func rs(r, s *big.Int, n int) []byte {
	b := make([]byte, 2*n)
	r.FillBytes(b[:n])
	s.FillBytes(b[n:])
	return b
}

func mac(key []byte, input string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return h.Sum(nil)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// parts splits a token and decodes its signature.
func parts(token string) (input string, sig []byte) {
	at := strings.LastIndexByte(token, '.')
	return token[:at], must(base64.RawURLEncoding.DecodeString(token[at+1:]))
}

// resign replaces the signature of a token.
func resign(sig func(f *forge, input string, old []byte) []byte) func(*forge, string) string {
	return func(f *forge, token string) string {
		input, old := parts(token)
		return input + "." + b64(sig(f, input, old))
	}
}
