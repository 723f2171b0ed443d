package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
)

const (
	issuer   = "https://iam.example.org/"
	audience = "https://se.example.org"
)

// signer is the issuer.
type signer struct {
	key    *ecdsa.PrivateKey
	jwks   string
	serial int
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newSigner() (*signer, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	const jwks = `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","use":"sig","alg":"ES256","x":"%s","y":"%s"}]}`
	return &signer{key: k, jwks: fmt.Sprintf(jwks, b64(point[1:33]), b64(point[33:]))}, nil
}

// token is that of a WLCG user, as long as they usually are.
func (s *signer) token(n int) string {
	now := time.Now().Unix()
	const claims = `{"wlcg.ver":"1.0","sub":"e1eb758b-b73c-4761-bfff-adc793da409c","aud":"%s","nbf":%d,"scope":"openid ` +
		`storage.read:/dir storage.create:/dir/datasetA compute.create","iss":"%s","exp":%d,"iat":%d,"jti":"%036d",` +
		`"client_id":"f5ab77e1-1d1d-4c8e-9c9a-4f7f4c3a3a11","wlcg.groups":["/dteam/VO-Admin","/dteam","/dteam/itdteam"],` +
		`"eduperson_assurance":["https://refeds.org/assurance/profile/espresso"],"acr":"https://refeds.org/profile/mfa"}`
	input := b64([]byte(`{"alg":"ES256","kid":"k","typ":"JWT"}`)) + "." +
		b64(fmt.Appendf(nil, claims, audience, now, issuer, now+3600, now, n))
	sum := sha256.Sum256([]byte(input))
	r, ss, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err) // the key was made by newSigner
	}
	return input + "." + b64(append(r.FillBytes(make([]byte, 32)), ss.FillBytes(make([]byte, 32))...))
}

// tokens are n that were never there before.
func (s *signer) tokens(n int) []string {
	list := make([]string, n)
	for i := range list {
		s.serial++
		list[i] = s.token(s.serial)
	}
	return list
}
