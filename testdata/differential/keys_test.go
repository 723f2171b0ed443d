package differential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
)

// testKey was made for these tests and has signed nothing else. It stands here, and is not made anew each time, so that
// inputs that the fuzzer has found go on meaning the same.
const testKey = `-----BEGIN TEST KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDmi5wRuFo21RLq
001dg9TZo3II4JXaM7WwWSHzEYL8l+mStn/oEI8mNYlL38T6uG/ISifCQMewIA/N
+GYOGAfsTnkgAD14FdKEGY3HW0uH8FASpW5zvmRGGszbIGMjX3kwqWgr0rwH3MmN
pcivXrA5X2H2YpMok0sNmWxYRbzbPJN4s0qnmMXT4K8eSE/heHRJCQ1wfDoW8Uul
EuRKeBaGewxWVQJ5KTPcqbflUMOpPMT8A5OPTY1zucVc0TJ8ic8al/v+67uM+lCH
CattNiUy6bm5ah3BHVoqL1SMO6ANFIhNf8e9Xip6N3tYMXgAa53Dbzj2PrXacROY
ZQveuBRtAgMBAAECggEALd7GOTJcZL+FSYqsQHh776eZB1IkDquuMT2yxwmLbdWN
6B5+mX499SS+wgVuTFJJD2lNutUnxg/DBUCwkYpPfUFp0SerE0sIPTdWYb107EGw
tN0MemP90IMBknHBt+aFltyF+P4vYkMYKSI8qUPmPSwQsjSPwgl4a+bES1XoyxfE
NTb66WSXQn2BgDUPNAKtV16lGxOSFjE5RY9R5/gBGiHIMpv6gqTu+HhBIUNjkBFp
AKnFVaul18KSDA4E6zKC7kcr7gj2Mp+8tA1DqMPSCxDRUhdRUAnown9skYX5tZQX
zU3jCHM02IJ2b04TSz4E72IsTxNVxTDwXGLI4WdB0QKBgQDzZ1/FTgPN0ntbb6vX
xiBgdepQJIg/cq6u2Ukbb5qgGcEMyu0ejQq1N7WF6H4SCwCjy5serrZkQNjD9i6h
JDGKa9zJE7u4n0dlB3IYVHDkGyfEwuWRJnukVqktE9RZWXlOdx7rZRttul7Dz6Fx
OqfWG9qyGH3dzyKekW/Ng9B1uQKBgQDyeeLWOCW/LVkdlIInQhdpDxaaKOK6hCeb
xQNeKlmCmCL6NOQdFJVHorOXkQyYDCOWYoFUx3D+qpm+IxFlBScdjIn5yx6mz3dE
/PoHOSyz1ozuatGjhKYIjN9QiHZKZDc9Od95k3pXSx1TB1SYsiA/CGqHXy3CVHak
56QbPQfuVQKBgQDWM2Dat78tQFACtZGav+b6PIrJoHyuqXQEt39Yv6xpvIBhi6uE
uUZ1F+ONRn67zibv/lwycjpcm5ynR1zdvoZCdI3F/rGy1aj0xcqokpcOhr9GruVs
CVvB0enrm4nCX7UbUkVJjp7Gv75pv60pgh71k2mwVVFfA8xJk1+6koe/MQKBgGHW
pJzjkveNCMRSxCGrHV8a43fYv4ObB5Bm8nDwjaWQVay34sOJJqL9F5I0yOwhGcr4
fE8FGqbnl5mM9NvaNGpL5vCP8RJF7E499XUssMjv7XXWTDi6sXQJw6HvLivePBvM
WkvoIhlPCcoSzyO93B0S/EkbMo+THTx061bCTYzxAoGBAN21zYIYp6i0cgnLaM5/
/tDAimZYChZZCrAPnjF5aNRHOeNlMOUTCQMpIfUqelt9pbLa798b8GdmkwvjRXp9
CRpZSPu4LTYO5vKGW3cBnmXaM55oMJSai11BCdsJrXYmKG25NITNUJyZK0ne/BTL
fabHoajF+6X9IY5b4t+LDahE
-----END TEST KEY-----
`

// signer is a key, the algorithm it signs with here, and its public half as JWK.
type signer struct {
	alg, kid string
	key      crypto.Signer
	jwk      map[string]any
}

// signers has one for every algorithm that both sides know; RSA shares one key.
var signers = sync.OnceValue(func() []signer {
	block, _ := pem.Decode([]byte(testKey))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	rsaKey := parsed.(*rsa.PrivateKey)
	seed := sha256.Sum256([]byte("seed"))
	return []signer{
		newSigner("RS256", rsaKey), newSigner("RS384", rsaKey), newSigner("RS512", rsaKey),
		newSigner("PS256", rsaKey), newSigner("PS384", rsaKey), newSigner("PS512", rsaKey),
		newSigner("ES256", ecKey(elliptic.P256())), newSigner("ES384", ecKey(elliptic.P384())),
		newSigner("ES512", ecKey(elliptic.P521())), newSigner("EdDSA", ed25519.NewKeyFromSeed(seed[:])),
	}
})

func ecKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	scalar := make([]byte, (curve.Params().BitSize+7)/8)
	sum := sha256.Sum256([]byte(curve.Params().Name))
	copy(scalar[1:], sum[:])
	key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		panic(err)
	}
	return key
}

func newSigner(alg string, key crypto.Signer) signer {
	s := signer{alg: alg, kid: strings.ToLower(alg), key: key, jwk: publicJWK(key.Public())}
	s.jwk["kid"] = s.kid
	return s
}

func publicJWK(key crypto.PublicKey) map[string]any {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2
		return map[string]any{
			"kty": "EC", "crv": k.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:]),
		}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	}
	panic("unknown key")
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// by returns the signer of an algorithm.
func by(alg string) signer {
	for _, s := range signers() {
		if s.alg == alg {
			return s
		}
	}
	panic("no signer for " + alg)
}

// with returns the public key with other members; nil takes one away.
func (s signer) with(members map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range s.jwk {
		out[name] = v
	}
	for name, v := range members {
		if out[name] = v; v == nil {
			delete(out, name)
		}
	}
	return out
}

// keySet writes a JWK set.
func keySet(keys ...map[string]any) []byte {
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return b
}

// allKeys is the set of every signer's public key.
func allKeys() []byte {
	var keys []map[string]any
	for _, s := range signers() {
		keys = append(keys, s.jwk)
	}
	return keySet(keys...)
}

// header is the usual one.
func (s signer) header() string { return fmt.Sprintf(`{"alg":%q,"kid":%q}`, s.alg, s.kid) }

// token signs payload under this header, whatever that says.
func (s signer) token(header, payload string) []byte {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return []byte(input + "." + b64(s.sign([]byte(input))))
}

// hashOf is the hash an algorithm's name ends with.
func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		return crypto.SHA512
	}
	return crypto.SHA256
}

func digest(alg string, input []byte) []byte {
	h := hashOf(alg).New()
	h.Write(input)
	return h.Sum(nil)
}

func (s signer) sign(input []byte) []byte {
	sum, hash := digest(s.alg, input), hashOf(s.alg)
	var out []byte
	var err error
	switch {
	case strings.HasPrefix(s.alg, "RS"):
		out, err = rsa.SignPKCS1v15(nil, s.key.(*rsa.PrivateKey), hash, sum)
	case strings.HasPrefix(s.alg, "PS"):
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		out, err = rsa.SignPSS(rand.Reader, s.key.(*rsa.PrivateKey), hash, sum, opts)
	case strings.HasPrefix(s.alg, "ES"):
		out, err = signEC(s.key.(*ecdsa.PrivateKey), sum)
	default:
		out, err = s.key.Sign(nil, input, crypto.Hash(0))
	}
	if err != nil {
		panic(err)
	}
	return out
}

// signEC makes the fixed form of RFC 7518 section 3.4.
func signEC(key *ecdsa.PrivateKey, sum []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, sum) //nolint:staticcheck // the raw numbers are what JWS wants
	if err != nil {
		return nil, err
	}
	size := (key.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}
