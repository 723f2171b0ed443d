package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

const benchPayload = `{"wlcg.ver":"1.0","sub":"e1eb758b-b73c-4761-bfff-adc793da409c",` +
	`"aud":"https://se.example.org","nbf":1555059791,"scope":"openid storage.read:/dir storage.create:/dir/datasetA ` +
	`compute.create","iss":"https://iam.example.org/","exp":1555063391,"iat":1555059791,` +
	`"jti":"aef94c8c-0fea-490f-9027-ff444dd66d8c","client_id":"f5ab77e1-1d1d-4c8e-9c9a-4f7f4c3a3a11",` +
	`"wlcg.groups":["/dteam/VO-Admin","/dteam","/dteam/itdteam"],` +
	`"eduperson_assurance":["https://refeds.org/assurance/profile/espresso"],"acr":"https://refeds.org/profile/mfa"}`

// BenchmarkVerify times, side by side, the signature check of package crypto alone (hash and key operation on decoded
// bytes) and the whole of Verify on the same token.
func BenchmarkVerify(b *testing.B) {
	b.Run("RS256", func(b *testing.B) {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		must(b, err)
		pub := fmt.Sprintf(`{"kty":"RSA","kid":"k","n":"%s","e":"AQAB"}`, b64(k.N.Bytes()))
		compare(b, "RS256", pub, func(input []byte) []byte {
			sum := sha256.Sum256(input)
			s, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
			must(b, err)
			return s
		}, func(input, s []byte) bool {
			sum := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sum[:], s) == nil
		})
	})
	b.Run("ES256", func(b *testing.B) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(b, err)
		point, err := k.PublicKey.Bytes()
		must(b, err)
		pub := fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k","x":"%s","y":"%s"}`, b64(point[1:33]), b64(point[33:]))
		compare(b, "ES256", pub, func(input []byte) []byte {
			sum := sha256.Sum256(input)
			r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
			must(b, err)
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}, func(input, s []byte) bool {
			sum := sha256.Sum256(input)
			return ecdsa.Verify(&k.PublicKey, sum[:], new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:]))
		})
	})
	b.Run("EdDSA", func(b *testing.B) {
		p, k, err := ed25519.GenerateKey(rand.Reader)
		must(b, err)
		pub := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"%s"}`, b64(p))
		compare(b, "EdDSA", pub, func(input []byte) []byte { return ed25519.Sign(k, input) },
			func(input, s []byte) bool { return ed25519.Verify(p, input, s) })
	})
}

func compare(
	b *testing.B, alg, jwk string, sign func(input []byte) []byte, check func(input, signature []byte) bool,
) {
	input := []byte(b64([]byte(`{"alg":"`+alg+`","kid":"k","typ":"at+jwt"}`)) + "." + b64([]byte(benchPayload)))
	signature := sign(input)
	token := []byte(string(input) + "." + b64(signature))
	keys, skipped, err := jose.ParseKeySet([]byte(`{"keys":[` + jwk + `]}`))
	must(b, err)
	if len(skipped) > 0 {
		b.Fatal(skipped)
	}
	v, err := New(Config{
		Issuers:   []Issuer{{URL: "https://iam.example.org/", Keys: keys}},
		Audiences: []string{"https://se.example.org"},
		Now:       func() time.Time { return time.Unix(1555060000, 0) },
	})
	must(b, err)
	whole := func() bool { _, err := v.Verify(b.Context(), token); return err == nil }
	bare := func() bool { return check(input, signature) }
	b.Run("bare", func(b *testing.B) { times(b, bare) })
	b.Run("ours", func(b *testing.B) { times(b, whole) })
	b.Run("ratio", func(b *testing.B) { ratio(b, whole, bare) })
}

func times(b *testing.B, do func() bool) {
	b.ReportAllocs()
	for b.Loop() {
		if !do() {
			b.Fatal("refused")
		}
	}
}

// ratio runs the two in turn and compares their medians, so that other work on the machine hits both alike.
func ratio(b *testing.B, whole, bare func() bool) {
	var ours, theirs []time.Duration
	for b.Loop() {
		begin := time.Now()
		ok := whole()
		middle := time.Now()
		if !bare() || !ok {
			b.Fatal("refused")
		}
		ours, theirs = append(ours, middle.Sub(begin)), append(theirs, time.Since(middle))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	n := len(ours) / 2
	b.ReportMetric(float64(ours[n])/float64(theirs[n]), "x-bare")
	b.ReportMetric(0, "ns/op")
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
