package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"math/big"
)

// verifier checks one kind of signature. The error says no more than that it does not match.
type verifier interface {
	Verify(input, signature []byte, key any) error
}

// check is one algorithm that a key may be used with, and what verifies it.
type check struct {
	alg Alg
	by  verifier
}

// checksFor returns what a key of family f may verify: everything of that family, or only the algorithm it is bound to.
func checksFor(f family, bound Alg) []check {
	var list []check
	for _, a := range Algs() {
		if a.family() != f || bound != "" && !bound.Same(a) {
			continue
		}
		if v := verifierFor(a); v != nil {
			list = append(list, check{a, v})
		}
	}
	return list
}

// verifierFor returns the library's verifier, or ours for PSS and ECDSA.
func verifierFor(a Alg) verifier {
	switch a {
	case PS256:
		return pss{crypto.SHA256}
	case PS384:
		return pss{crypto.SHA384}
	case PS512:
		return pss{crypto.SHA512}
	case ES256:
		return ec{crypto.SHA256}
	case ES384:
		return ec{crypto.SHA384}
	case ES512:
		return ec{crypto.SHA512}
	}
	return libraryVerifier(a)
}

// pss checks RSASSA-PSS signatures. The library takes any length of the salt; RFC 7518 section 3.5 wants that of the
// hash.
type pss struct{ hash crypto.Hash }

func (p pss) Verify(input, signature []byte, key any) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return ErrKeyMismatch
	}
	h := p.hash.New()
	h.Write(input)
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: p.hash}
	return rsa.VerifyPSS(k, p.hash, h.Sum(nil), signature, opts)
}

// ec checks ECDSA signatures as RFC 7518 section 3.4 writes them: r and s, each as long as the order of the curve. The
// library asks for every signature whether the key is on its curve, which was asked when the key was read.
type ec struct{ hash crypto.Hash }

func (e ec) Verify(input, signature []byte, key any) error {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return ErrKeyMismatch
	}
	n := coordinateSize(k)
	if len(signature) != 2*n {
		return ErrSignature
	}
	h := e.hash.New()
	h.Write(input)
	r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
	if !ecdsa.Verify(k, h.Sum(nil), r, s) {
		return ErrSignature
	}
	return nil
}
