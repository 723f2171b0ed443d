package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"
)

// This file is all that touches cryptography: one signature at a time, one key at a time.

// libraryVerifier returns what checks signatures of algorithm a, nil when there is nothing.
func libraryVerifier(a Alg) verifier {
	switch a.family() {
	case familyRSA:
		return pkcs1{hashOf(a)}
	case familyP256, familyP384, familyP521:
		return ecdsaVerifier{hashOf(a)}
	case familyEd25519:
		return edVerifier{}
	}
	return nil
}

func hashOf(a Alg) crypto.Hash {
	switch a {
	case RS384, PS384, ES384:
		return crypto.SHA384
	case RS512, PS512, ES512:
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

func digest(hash crypto.Hash, input []byte) []byte {
	h := hash.New()
	h.Write(input)
	return h.Sum(nil)
}

type pkcs1 struct{ hash crypto.Hash }

func (p pkcs1) Verify(input, signature []byte, key any) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return ErrKeyMismatch
	}
	return rsa.VerifyPKCS1v15(k, p.hash, digest(p.hash, input), signature)
}

type ecdsaVerifier struct{ hash crypto.Hash }

// Verify takes r and s side by side, each as long as a coordinate (RFC 7518 section 3.4).
func (e ecdsaVerifier) Verify(input, signature []byte, key any) error {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return ErrKeyMismatch
	}
	n := coordinateSize(k)
	if len(signature) != 2*n {
		return ErrSignature
	}
	r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
	if !ecdsa.Verify(k, digest(e.hash, input), r, s) {
		return ErrSignature
	}
	return nil
}

type edVerifier struct{}

func (edVerifier) Verify(input, signature []byte, key any) error {
	k, ok := key.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(k, input, signature) {
		return ErrSignature
	}
	return nil
}

// sign makes the JWS signature of input. The key fits alg.
func sign(alg Alg, key crypto.Signer, input []byte) ([]byte, error) {
	hash := hashOf(alg)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
			return rsa.SignPSS(rand.Reader, k, hash, digest(hash, input), opts)
		}
		return rsa.SignPKCS1v15(nil, k, hash, digest(hash, input))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest(hash, input))
		if err != nil {
			return nil, err
		}
		n := coordinateSize(&k.PublicKey)
		out := make([]byte, 2*n)
		r.FillBytes(out[:n])
		s.FillBytes(out[n:])
		return out, nil
	case ed25519.PrivateKey:
		return ed25519.Sign(k, input), nil
	}
	return nil, fmt.Errorf("%w: %T", ErrKeyType, key)
}

func rsaFrom(n, e []byte) (*rsa.PublicKey, error) {
	exponent := new(big.Int).SetBytes(e).Int64() // at most 31 bits
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}, nil
}

func ecFrom(curve elliptic.Curve, x, y []byte) (*ecdsa.PublicKey, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, fmt.Errorf("%w: point is not on the curve", ErrKey)
	}
	return k, nil
}

func ed25519From(x []byte) (ed25519.PublicKey, error) { return x, nil }
