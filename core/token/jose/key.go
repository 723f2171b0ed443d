package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// minRSABits is the least RFC 7518 section 3.3 allows; maxRSABits keeps one check from costing milliseconds.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// PublicKey is one key of a set, parsed and found fit for checking signatures. It does not change.
type PublicKey struct {
	id     string
	hasID  bool
	alg    Alg // "" when the JWK names none
	key    crypto.PublicKey
	checks []check // what it may be used for; chosen once, so that verifying takes no lock of the library
}

func newPublicKey(key crypto.PublicKey, alg Alg) *PublicKey {
	return &PublicKey{alg: alg, key: key, checks: checksFor(familyOf(key), alg)}
}

// ID returns the kid, "" when there is none.
func (k *PublicKey) ID() string { return k.id }

// Alg returns the algorithm the JWK is bound to, "" when it names none.
func (k *PublicKey) Alg() Alg { return k.alg }

// Fits reports whether the key may check signatures of algorithm a: the type and the curve are those of a, and the JWK
// names no other algorithm.
func (k *PublicKey) Fits(a Alg) bool { return k.check(a) != nil }

func (k *PublicKey) check(a Alg) verifier {
	for _, c := range k.checks {
		if c.alg == a {
			return c.by
		}
	}
	return nil
}

func familyOf(key crypto.PublicKey) family {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return familyRSA
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return familyP256
		case elliptic.P384():
			return familyP384
		case elliptic.P521():
			return familyP521
		}
	case ed25519.PublicKey:
		return familyEd25519
	}
	return 0
}

// Limits of one JWK. x5c may make it long; deep it never is.
const (
	keyDepth   = 8
	keyMembers = 64
)

// ParsePublicKey reads one JWK. A key that is of a kind we never use gives ErrKeyType, a broken one or one that is not
// for checking signatures ErrKey, a weak one ErrWeakKey. A key that comes with its private part is refused: who
// publishes that has no secret any more.
func ParsePublicKey(jwk []byte) (*PublicKey, error) {
	o, err := strictKey(jwk)
	if err != nil {
		return nil, err
	}
	if o.Has("d") {
		return nil, fmt.Errorf("%w: its private part is published", ErrKey)
	}
	return publicKey(o)
}

func strictKey(jwk []byte) (Object, error) {
	o, err := StrictObject(jwk, keyDepth, keyMembers)
	if err != nil {
		return Object{}, err
	}
	return o, o.RefuseVariants("kty", "kid", "use", "key_ops", "alg", "crv", "n", "e", "x", "y", "d")
}

func publicKey(o Object) (*PublicKey, error) {
	key, err := keyMaterial(o)
	if err != nil {
		return nil, err
	}
	if err := checkUse(o); err != nil {
		return nil, err
	}
	alg, err := boundAlg(o, familyOf(key))
	if err != nil {
		return nil, err
	}
	k := newPublicKey(key, alg)
	k.hasID = o.Has("kid")
	k.id, err = o.String("kid")
	return k, err
}

// boundAlg returns the algorithm the JWK names, "" when it names none. It has to be one for keys of this family.
func boundAlg(o Object, f family) (Alg, error) {
	if !o.Has("alg") {
		return "", nil
	}
	name, err := o.String("alg")
	if err != nil {
		return "", err
	}
	alg, err := ParseAlg(name)
	if err == nil && alg.family() != f {
		err = ErrKeyMismatch
	}
	return alg, err
}

// checkUse looks at use and key_ops (RFC 7517 sections 4.2, 4.3): absent is fine, otherwise they must say signatures.
func checkUse(o Object) error {
	use, err := o.String("use")
	if err != nil {
		return err
	}
	if o.Has("use") && use != "sig" {
		return fmt.Errorf("%w: use is not sig", ErrKey)
	}
	ops, err := o.Strings("key_ops")
	if err != nil {
		return err
	}
	if o.Has("key_ops") && !slices.Contains(ops, "verify") {
		return fmt.Errorf("%w: key_ops has no verify", ErrKey)
	}
	return nil
}

func keyMaterial(o Object) (crypto.PublicKey, error) {
	kty, err := o.String("kty")
	if err != nil {
		return nil, err
	}
	switch kty {
	case "RSA":
		return rsaKey(o)
	case "EC":
		return ecKey(o)
	case "OKP":
		return okpKey(o)
	}
	return nil, ErrKeyType
}

func rsaKey(o Object) (*rsa.PublicKey, error) {
	n, err := bytesMember(o, "n")
	if err != nil {
		return nil, err
	}
	e, err := bytesMember(o, "e")
	if err != nil {
		return nil, err
	}
	if new(big.Int).SetBytes(e).BitLen() > 31 { // as crypto/rsa; the library would cut it off
		return nil, fmt.Errorf("%w: RSA exponent has more than 31 bits", ErrKey)
	}
	k, err := rsaFrom(n, e)
	if err != nil {
		return nil, err
	}
	return k, checkRSA(k)
}

func checkRSA(k *rsa.PublicKey) error {
	switch bits := k.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("%w: RSA with %d bits, at least %d are needed", ErrWeakKey, bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("%w: RSA with more than %d bits", ErrKey, maxRSABits)
	case k.N.Bit(0) == 0:
		return fmt.Errorf("%w: RSA modulus is even", ErrKey)
	case k.E < 3 || k.E%2 == 0:
		return fmt.Errorf("%w: RSA exponent is not odd and at least 3", ErrWeakKey)
	case rocaWeak(k.N):
		return fmt.Errorf("%w: RSA key made by a faulty library (ROCA)", ErrWeakKey)
	}
	return nil
}

func ecKey(o Object) (*ecdsa.PublicKey, error) {
	curve, err := curveOf(o)
	if err != nil {
		return nil, err
	}
	x, err := bytesMember(o, "x")
	if err != nil {
		return nil, err
	}
	y, err := bytesMember(o, "y")
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, fmt.Errorf("%w: a coordinate has not the length of the curve", ErrKey)
	}
	k, err := ecFrom(curve, x, y)
	if err != nil {
		return nil, err
	}
	if _, err := k.ECDH(); err != nil { // asks whether the point is on the curve
		return nil, fmt.Errorf("%w: point is not on the curve", ErrKey)
	}
	return k, nil
}

func curveOf(o Object) (elliptic.Curve, error) {
	crv, err := o.String("crv")
	if err != nil {
		return nil, err
	}
	switch crv {
	case "P-256":
		return elliptic.P256(), nil
	case "P-384":
		return elliptic.P384(), nil
	case "P-521":
		return elliptic.P521(), nil
	}
	return nil, ErrKeyType
}

func okpKey(o Object) (ed25519.PublicKey, error) {
	crv, err := o.String("crv")
	if err != nil {
		return nil, err
	}
	if crv != "Ed25519" {
		return nil, ErrKeyType
	}
	x, err := bytesMember(o, "x")
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: Ed25519 key has not %d bytes", ErrKey, ed25519.PublicKeySize)
	}
	if smallOrder(x) {
		return nil, fmt.Errorf("%w: Ed25519 point of small order", ErrWeakKey)
	}
	return ed25519From(x)
}

// bytesMember decodes a required base64url member.
func bytesMember(o Object, name string) ([]byte, error) {
	s, err := o.String(name)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return nil, fmt.Errorf("%w: %s %w", ErrKey, name, ErrMissing)
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || !canonical(s) || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, name, ErrBase64)
	}
	return b, nil
}
