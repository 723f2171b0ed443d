package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// ReadPrivateKey reads the key of a file that an operator made: a JWK with a private part, or PEM (PKCS #8, PKCS #1 or
// SEC 1, not encrypted). alg is for keys that can do several; "" is the one of the JWK, that of the curve, or RS256.
// The error is ErrKey, ErrKeyType, ErrWeakKey or ErrKeyMismatch, and repeats nothing of the key.
func ReadPrivateKey(b []byte, alg Alg) (*PrivateKey, error) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("{")) {
		k, err := ParsePrivateKey(b)
		if err == nil && alg != "" && !alg.Same(k.alg) {
			return nil, fmt.Errorf("read private key: %w", ErrKeyMismatch)
		}
		return k, err
	}
	key, err := parsePEM(b)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	natural, err := algOf(key)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if alg == "" {
		alg = natural
	}
	if !newPublicKey(key.Public(), "").Fits(alg) {
		return nil, fmt.Errorf("read private key: %w", ErrKeyMismatch)
	}
	k := newPrivateKey(alg, "", key)
	// What is published of it has to be taken by others: the checks of a public key are those of this one.
	public, err := k.Public().MarshalJSON()
	if err == nil {
		_, err = ParsePublicKey(public)
	}
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	return k, nil
}

// ReadPublicKey reads the other half of what ReadPrivateKey reads: a JWK, or PEM (SubjectPublicKeyInfo), whose kid is its
// thumbprint. Errors as there.
func ReadPublicKey(b []byte) (*PublicKey, error) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("{")) {
		return ParsePublicKey(b)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("read public key: %w: neither a JWK nor PEM with a public key", ErrKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", ErrKey)
	}
	switch parsed.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("read public key: %w", ErrKeyType)
	}
	k := newPublicKey(parsed, "")
	k.id, k.hasID = k.Thumbprint(), true
	jwk, err := k.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return ParsePublicKey(jwk) // its checks are those of this one
}

// parsePEM takes the first block that is a private key; others, as parameters of a curve, may stand before it.
func parsePEM(b []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		clear(block.Bytes)
		if err != nil {
			return nil, ErrKey
		}
		if s, ok := key.(crypto.Signer); ok {
			return s, nil
		}
		return nil, ErrKeyType
	}
	return nil, fmt.Errorf("%w: neither a JWK nor PEM with a private key that is not encrypted", ErrKey)
}

func algOf(key crypto.Signer) (Alg, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return RS256, nil
	case ed25519.PrivateKey:
		return EdDSA, nil
	case *ecdsa.PrivateKey:
		for alg, curve := range map[Alg]string{ES256: "P-256", ES384: "P-384", ES512: "P-521"} {
			if curveName(k.Curve) == curve {
				return alg, nil
			}
		}
	}
	return "", ErrKeyType
}
