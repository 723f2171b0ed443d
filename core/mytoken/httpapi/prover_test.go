package httpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

// prover holds a key and makes DPoP proofs with crypto and string work alone.
type prover struct {
	key *ecdsa.PrivateKey
	jwk string
}

func newProver(t *testing.T) *prover {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := k.PublicKey.Bytes()
	must(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	return &prover{k, fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, enc(point[1:33]), enc(point[33:]))}
}

func (p *prover) proof(method, url, mt string) string { return p.proofWith(method, url, mt, "") }

func (p *prover) proofWith(method, url, mt, nonce string) string {
	enc := base64.RawURLEncoding.EncodeToString
	ath := ""
	if mt != "" {
		sum := sha256.Sum256([]byte(mt))
		ath = fmt.Sprintf(`,"ath":%q`, enc(sum[:]))
	}
	if nonce != "" {
		ath += fmt.Sprintf(`,"nonce":%q`, nonce)
	}
	input := enc(fmt.Appendf(nil, `{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, p.jwk)) + "." + enc(fmt.Appendf(nil,
		`{"jti":%q,"htm":%q,"htu":%q,"iat":%d%s}`, rand.Text(), method, url, time.Now().Unix(), ath))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + enc(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
