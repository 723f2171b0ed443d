package jose

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"math/big"
	"slices"
)

// smallOrder reports whether an Ed25519 key is a point of small order in any encoding. With such a key anybody can make
// signatures that are right (the identity as R and 0 as S is one for every message), and crypto/ed25519 does not look.
//
// Seen through the map between the curves (RFC 7748 section 4.1) it is a point of small order of X25519 too, for which
// every exchange gives zero, and that crypto/ecdh refuses.
func smallOrder(k ed25519.PublicKey) bool {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	le := slices.Clone(k)
	le[len(le)-1] &= 0x7f // the sign of the other coordinate
	slices.Reverse(le)
	y := new(big.Int).SetBytes(le)
	below := new(big.Int).Mod(new(big.Int).Sub(one, y), p)
	below.Exp(below, new(big.Int).Sub(p, big.NewInt(2)), p) // its inverse, 0 for 0
	u := new(big.Int).Mul(new(big.Int).Add(one, y), below)
	montgomery := u.Mod(u, p).FillBytes(make([]byte, ed25519.PublicKeySize))
	slices.Reverse(montgomery)
	point, err := ecdh.X25519().NewPublicKey(montgomery)
	if err != nil {
		return true
	}
	any32 := make([]byte, ed25519.PublicKeySize)
	any32[0] = 8
	scalar, err := ecdh.X25519().NewPrivateKey(any32)
	if err != nil {
		return true
	}
	_, err = scalar.ECDH(point)
	return err != nil
}
