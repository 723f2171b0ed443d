package differential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"math/big"
	"strings"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// question is a token and the key set it is checked with.
type question struct{ token, set []byte }

// verdict is what one side makes of a question: the payload it believes, or why it does not.
type verdict struct {
	payload []byte
	err     error
}

func (v verdict) yes() bool { return v.err == nil }

var errNoKey = errors.New("no key that fits")

// ours is the way of core/token/verify, up to the claims.
func ours(q question) verdict {
	set, _, err := jose.ParseKeySet(q.set)
	if err != nil {
		return verdict{err: err}
	}
	m, err := jose.Parse(q.token)
	if err != nil {
		return verdict{err: err}
	}
	err = errNoKey
	for _, k := range set.Candidates(m.Header) {
		if err = m.Verify(k); err == nil {
			return verdict{payload: m.Payload}
		}
	}
	return verdict{err: err}
}

// theirAlgs is what go-jose is told to accept: our allow-list. It has no name for Ed25519 but EdDSA.
func theirAlgs() []gojose.SignatureAlgorithm {
	return []gojose.SignatureAlgorithm{
		gojose.RS256, gojose.RS384, gojose.RS512, gojose.PS256, gojose.PS384, gojose.PS512,
		gojose.ES256, gojose.ES384, gojose.ES512, gojose.EdDSA,
	}
}

// theirs is go-jose used as its documentation shows.
func theirs(q question) verdict {
	var set gojose.JSONWebKeySet
	if err := json.Unmarshal(q.set, &set); err != nil {
		return verdict{err: err}
	}
	m, err := gojose.ParseSignedCompact(string(q.token), theirAlgs())
	if err != nil {
		return verdict{err: err}
	}
	payload, err := m.Verify(set)
	return verdict{payload: payload, err: err}
}

// bare reports whether the signature is right under the first key of the set that makes it so, by the standard library
// alone: neither side's reading of JSON, and no choice of keys. Whatever ours believes has to pass it.
func bare(q question) bool {
	parts := bytes.Split(q.token, []byte("."))
	if len(parts) != 3 {
		return false
	}
	signature := lax64(string(parts[2]))
	alg, _ := lenient(lax64(string(parts[0])))["alg"].(string)
	input := q.token[:len(parts[0])+1+len(parts[1])]
	for _, k := range lenientKeys(exactKeys(q.set)) {
		if bareCheck(k, alg, input, signature) {
			return true
		}
	}
	return false
}

func bareCheck(k map[string]any, alg string, input, signature []byte) bool {
	number := func(name string) []byte { s, _ := k[name].(string); return lax64(s) }
	switch kty, _ := k["kty"].(string); {
	case kty == "RSA" && (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")):
		e := new(big.Int).SetBytes(number("e"))
		if !e.IsInt64() || e.Int64() < 2 || e.Int64() > 1<<31-1 {
			return false
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(number("n")), E: int(e.Int64())}
		if alg[0] == 'R' {
			return rsa.VerifyPKCS1v15(pub, hashOf(alg), digest(alg, input), signature) == nil
		}
		return rsa.VerifyPSS(pub, hashOf(alg), digest(alg, input), signature, nil) == nil
	case kty == "EC" && strings.HasPrefix(alg, "ES"):
		model := by(alg).key.Public().(*ecdsa.PublicKey)
		return bareEC(model, append(number("x"), number("y")...), digest(alg, input), signature)
	case kty == "OKP":
		x := number("x")
		return len(x) == ed25519.PublicKeySize && ed25519.Verify(x, input, signature)
	}
	return false
}

// bareEC checks with the point on the curve of model.
func bareEC(model *ecdsa.PublicKey, point, sum, signature []byte) bool {
	pub, err := ecdsa.ParseUncompressedPublicKey(model.Curve, append([]byte{4}, point...))
	if err != nil || len(signature)%2 != 0 {
		return false
	}
	half := len(signature) / 2
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	return ecdsa.Verify(pub, sum, r, s) //nolint:staticcheck // as above
}
