package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// This file is all that knows the library: what it is asked for, and the walls around that.

// libraryVerifier returns the library's verifier, which is one value for the whole process; nil when it has none.
func libraryVerifier(a Alg) verifier {
	v, err := jws.NewVerifier(libraryAlg(a))
	if err != nil {
		return nil
	}
	return v
}

// libraryAlg is a in the library's words, which know the older name of Ed25519 only.
func libraryAlg(a Alg) jwa.SignatureAlgorithm {
	if a == Ed25519 {
		a = EdDSA
	}
	return jwa.SignatureAlgorithm(a)
}

// sign makes the JWS signature of input. The key fits alg.
func sign(alg Alg, key crypto.Signer, input []byte) ([]byte, error) {
	s, err := jws.NewSigner(libraryAlg(alg))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrKeyType, alg)
	}
	return s.Sign(input, key)
}

func rsaFrom(n, e []byte) (*rsa.PublicKey, error) {
	k := new(rsa.PublicKey)
	return k, parseKey(k, func(w *writer) { w.member("kty", "RSA"); w.bytes("n", n); w.bytes("e", e) })
}

func ecFrom(curve elliptic.Curve, x, y []byte) (*ecdsa.PublicKey, error) {
	k := new(ecdsa.PublicKey)
	return k, parseKey(k, func(w *writer) {
		w.member("kty", "EC")
		w.member("crv", curveName(curve))
		w.bytes("x", x)
		w.bytes("y", y)
	})
}

func ed25519From(x []byte) (ed25519.PublicKey, error) {
	var k ed25519.PublicKey
	err := parseKey(&k, func(w *writer) { w.member("kty", "OKP"); w.member("crv", "Ed25519"); w.bytes("x", x) })
	return k, err
}

// parseKey gives the library a JWK of nothing but the numbers, whose form was checked, and takes the key into to. The
// whole JWK would meet its habits: it folds the case of member names, takes padded and plain base64, cuts a long
// exponent off at 64 bits, fails on key_ops it does not know, and asks neither whether a point is on its curve nor
// whether an Ed25519 key has 32 bytes.
func parseKey(to any, material func(*writer)) error {
	w := newWriter()
	material(w)
	b, err := w.done()
	if err != nil {
		return err
	}
	parsed, err := jwk.ParseKey(b)
	if err == nil {
		err = parsed.Raw(to)
	}
	if err != nil {
		return fmt.Errorf("%w: it cannot be parsed", ErrKey)
	}
	return nil
}
