package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
)

// checkSignature reports whether signature belongs to input. The key fits alg: PublicKey.Fits was asked.
func checkSignature(alg Alg, key crypto.PublicKey, input, signature []byte) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		hash, sum := digest(alg, input)
		if alg[0] == 'P' {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
			return rsa.VerifyPSS(k, hash, sum, signature, opts) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, sum, signature) == nil
	case *ecdsa.PublicKey:
		n := coordinateSize(k)
		if len(signature) != 2*n {
			return false
		}
		_, sum := digest(alg, input)
		r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
		return ecdsa.Verify(k, sum, r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(k, input, signature)
	}
	return false
}

func digest(alg Alg, input []byte) (crypto.Hash, []byte) {
	switch alg {
	case RS384, PS384, ES384:
		sum := sha512.Sum384(input)
		return crypto.SHA384, sum[:]
	case RS512, PS512, ES512:
		sum := sha512.Sum512(input)
		return crypto.SHA512, sum[:]
	default:
		sum := sha256.Sum256(input)
		return crypto.SHA256, sum[:]
	}
}

// sign makes the JWS signature of input. The key fits alg.
func sign(alg Alg, key crypto.Signer, input []byte) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		hash, sum := digest(alg, input)
		if alg[0] == 'P' {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
			return rsa.SignPSS(rand.Reader, k, hash, sum, opts)
		}
		return rsa.SignPKCS1v15(nil, k, hash, sum)
	case *ecdsa.PrivateKey:
		_, sum := digest(alg, input)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum)
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

// coordinateSize is the length in bytes of r, s, x, y and d on the curve of k.
func coordinateSize(k *ecdsa.PublicKey) int { return (k.Params().BitSize + 7) / 8 }
