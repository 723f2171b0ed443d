package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var errRefused = errors.New("refused")

const (
	issuer   = "https://iam.example.org/"
	audience = "https://se.example.org"
	issued   = 1_800_000_000
	payload  = `{"wlcg.ver":"1.0","sub":"e1eb758b-b73c-4761-bfff-adc793da409c","aud":"https://se.example.org",` +
		`"nbf":1800000000,"scope":"openid storage.read:/dir storage.create:/dir/datasetA compute.create",` +
		`"iss":"https://iam.example.org/","exp":1800003600,"iat":1800000000,"jti":"aef94c8c-0fea-490f-9027-ff444dd66d8c",` +
		`"client_id":"f5ab77e1-1d1d-4c8e-9c9a-4f7f4c3a3a11","wlcg.groups":["/dteam/VO-Admin","/dteam","/dteam/itdteam"],` +
		`"eduperson_assurance":["https://refeds.org/assurance/profile/espresso"],"acr":"https://refeds.org/profile/mfa"}`
)

func now() time.Time { return time.Unix(issued+60, 0) }

// token is one of the WLCG profile, and the key to check it with.
type token struct {
	alg, text, input string
	signature        []byte
	key              crypto.PublicKey
	jwk              string
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// newToken signs payload.
func newToken(alg, payload string) (*token, error) {
	t := &token{alg: alg}
	t.input = b64([]byte(`{"alg":"`+alg+`","kid":"k","typ":"at+jwt"}`)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(t.input))
	var err error
	switch alg {
	case "RS256":
		err = t.signRSA(sum[:])
	case "ES256":
		err = t.signECDSA(sum[:])
	case "EdDSA":
		err = t.signEd25519()
	}
	t.text = t.input + "." + b64(t.signature)
	return t, err
}

func (t *token) signRSA(sum []byte) error {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	t.key, t.jwk = &k.PublicKey, fmt.Sprintf(`{"kty":"RSA","kid":"k","n":"%s","e":"AQAB"}`, b64(k.N.Bytes()))
	t.signature, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum)
	return err
}

func (t *token) signECDSA(sum []byte) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return err
	}
	t.key = &k.PublicKey
	t.jwk = fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k","x":"%s","y":"%s"}`, b64(point[1:33]), b64(point[33:]))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum)
	if err != nil {
		return err
	}
	t.signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return nil
}

func (t *token) signEd25519() error {
	p, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	t.key, t.jwk = p, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"%s"}`, b64(p))
	t.signature = ed25519.Sign(k, []byte(t.input))
	return nil
}

// bare is what nobody can do without: hash and operation of the key on decoded bytes.
func (t *token) bare() error {
	sum := sha256.Sum256([]byte(t.input))
	ok := false
	switch k := t.key.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], t.signature) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:]))
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, []byte(t.input), t.signature)
	}
	if !ok {
		return errRefused
	}
	return nil
}

// ours is the verifier without a cache, and a repeat with one. Its keys come from the cache of key sets that the daemon
// uses, which is asked for every token.
func (t *token) ours(ctx context.Context) ([]contestant, error) {
	keys := provider.NewKeys(web{
		issuer + ".well-known/openid-configuration": `{"issuer":"` + issuer + `","jwks_uri":"` + issuer + `jwk"}`,
		issuer + "jwk": `{"keys":[` + t.jwk + `]}`,
	}, provider.KeysOptions{})
	defer keys.Close() // what it has fetched stays
	config := verify.Config{
		Issuers: []verify.Issuer{{URL: issuer}}, Audiences: []string{audience}, Keys: keys,
		Now: func() time.Time { _ = time.Now(); return now() }, // a clock costs what a clock costs
	}
	each, err := verify.New(config)
	if err != nil {
		return nil, err
	}
	config.Cache = verify.NewCache(0)
	cached, err := verify.New(config)
	if err != nil {
		return nil, err
	}
	text := []byte(t.text)
	with := func(v *verify.Verifier) func() error {
		return func() error { _, err := v.Verify(ctx, text); return err }
	}
	// The first asks for the keys, the second puts the verdict into the cache. A token that is refused is the business of
	// whoever times or tests the contestants.
	for range 3 {
		err = errors.Join(with(each)(), with(cached)())
	}
	if st := config.Cache.Stats(); err == nil && st.Hits == 0 {
		return nil, fmt.Errorf("the repeat is not a cached one: %+v", st)
	}
	return []contestant{{"oidcbox", with(each), 1}, {"oidcbox, cached repeat", with(cached), 50}}, nil
}

// web has a page at each address.
type web map[string]string

func (w web) Get(_ context.Context, url string) (*httpc.Response, error) {
	page, ok := w[url]
	if !ok {
		return &httpc.Response{Status: http.StatusNotFound}, nil
	}
	return &httpc.Response{Status: http.StatusOK, Header: http.Header{}, Body: []byte(page)}, nil
}
