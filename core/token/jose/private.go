package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"

	"github.com/oidcbox/oidcbox/core/secret"
)

// PrivateKey signs tokens with one algorithm under one kid. It prints as nothing but its kid and algorithm.
type PrivateKey struct {
	id  string
	alg Alg
	key func() crypto.Signer // behind a closure, so that no verb of fmt reaches the numbers
}

// GenerateKey makes a new key for algorithm a. RSA keys have 2048 bits for RS256 and PS256, 3072 for the stronger
// hashes. An empty id becomes the key's thumbprint (RFC 7638).
func GenerateKey(a Alg, id string) (*PrivateKey, error) {
	var (
		key crypto.Signer
		err error
	)
	switch a {
	case RS256, PS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case RS384, PS384, RS512, PS512:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case EdDSA, Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, &AlgorithmError{}
	}
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", a, err)
	}
	return newPrivateKey(a, id, key), nil
}

func newPrivateKey(a Alg, id string, key crypto.Signer) *PrivateKey {
	k := &PrivateKey{id: id, alg: a, key: func() crypto.Signer { return key }}
	if id == "" {
		k.id = k.Public().Thumbprint()
	}
	return k
}

// ID returns the kid.
func (k *PrivateKey) ID() string { return k.id }

// Alg returns the algorithm.
func (k *PrivateKey) Alg() Alg { return k.alg }

// Public returns the half to publish.
func (k *PrivateKey) Public() *PublicKey {
	p := newPublicKey(k.key().Public(), k.alg)
	p.id, p.hasID = k.id, true
	return p
}

// String returns kid and algorithm.
func (k *PrivateKey) String() string { return fmt.Sprintf("private key %s (%s)", k.id, k.alg) }

// Sign returns payload as a compact JWS with typ (none when "") and this key's kid and algorithm in the header. The
// payload must be one strict JSON object whose member names, at every level, need no escaping; typ must be as plain
// (plus signs allowed).
func (k *PrivateKey) Sign(typ string, payload []byte) (secret.Text, error) {
	return k.sign(typ, k.id, payload)
}

// SignWithoutID is Sign with a header that has alg and, unless it is "", typ, and nothing else: for tokens whose readers
// know the one key of their issuer.
func (k *PrivateKey) SignWithoutID(typ string, payload []byte) (secret.Text, error) {
	return k.sign(typ, "", payload)
}

func (k *PrivateKey) sign(typ, id string, payload []byte) (secret.Text, error) {
	strict := limits{depth: PayloadDepth, members: PayloadMembers, plainNames: true}
	if _, err := readObject(payload, strict); err != nil {
		return secret.Text{}, fmt.Errorf("sign token: payload: %w", err)
	}
	header, err := k.header(typ, id)
	if err != nil {
		return secret.Text{}, fmt.Errorf("sign token: %w", err)
	}
	enc := base64.RawURLEncoding
	token := enc.AppendEncode(nil, header)
	token = enc.AppendEncode(append(token, '.'), payload)
	signature, err := sign(k.alg, k.key(), token)
	if err != nil {
		return secret.Text{}, fmt.Errorf("sign token with %s: %w", k.alg, err)
	}
	return secret.New(enc.AppendEncode(append(token, '.'), signature)), nil
}

func (k *PrivateKey) header(typ, id string) ([]byte, error) {
	w := newWriter()
	w.member("alg", string(k.alg))
	if id != "" {
		w.member("kid", id)
	}
	if typ != "" {
		w.member("typ", typ)
	}
	return w.done()
}

// MarshalPrivate returns the key as a JWK with its private part, for the keystore.
func (k *PrivateKey) MarshalPrivate() (secret.Text, error) {
	w := newWriter()
	k.Public().write(w)
	switch key := k.key().(type) {
	case *rsa.PrivateKey:
		key.Precompute()
		for i, n := range []*big.Int{
			key.D, key.Primes[0], key.Primes[1], key.Precomputed.Dp, key.Precomputed.Dq,
			key.Precomputed.Qinv,
		} {
			w.bytes([]string{"d", "p", "q", "dp", "dq", "qi"}[i], n.Bytes())
		}
	case *ecdsa.PrivateKey:
		d, err := key.Bytes()
		if err != nil {
			return secret.Text{}, fmt.Errorf("write private key: %w", err)
		}
		w.bytes("d", d)
	case ed25519.PrivateKey:
		w.bytes("d", key.Seed())
	}
	b, err := w.done()
	if err != nil {
		return secret.Text{}, fmt.Errorf("write private key: %w", err)
	}
	return secret.New(b), nil
}

// ParsePrivateKey reads what MarshalPrivate wrote, or another JWK with a private part and an alg.
func ParsePrivateKey(jwk []byte) (*PrivateKey, error) {
	o, err := strictKey(jwk)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	pub, err := publicKey(o)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if pub.alg == "" {
		return nil, fmt.Errorf("read private key: alg %w", ErrMissing)
	}
	key, err := privateMaterial(o, pub.key)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	return newPrivateKey(pub.alg, pub.id, key), nil
}

func privateMaterial(o Object, pub crypto.PublicKey) (crypto.Signer, error) {
	d, err := bytesMember(o, "d")
	if err != nil {
		return nil, err
	}
	switch p := pub.(type) {
	case *rsa.PublicKey:
		return rsaPrivate(o, p, d)
	case *ecdsa.PublicKey:
		k, err := ecdsa.ParseRawPrivateKey(p.Curve, d)
		if err != nil || !k.PublicKey.Equal(p) {
			return nil, fmt.Errorf("%w: the two halves do not belong together", ErrKey)
		}
		return k, nil
	case ed25519.PublicKey:
		if len(d) != ed25519.SeedSize {
			return nil, fmt.Errorf("%w: Ed25519 seed has not %d bytes", ErrKey, ed25519.SeedSize)
		}
		k := ed25519.NewKeyFromSeed(d)
		if !p.Equal(k.Public()) {
			return nil, fmt.Errorf("%w: the two halves do not belong together", ErrKey)
		}
		return k, nil
	}
	return nil, ErrKeyType
}

func rsaPrivate(o Object, pub *rsa.PublicKey, d []byte) (*rsa.PrivateKey, error) {
	p, err := bytesMember(o, "p")
	if err != nil {
		return nil, err
	}
	q, err := bytesMember(o, "q")
	if err != nil {
		return nil, err
	}
	k := &rsa.PrivateKey{PublicKey: *pub, D: new(big.Int).SetBytes(d)}
	k.Primes = []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)}
	if err := k.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the two halves do not belong together", ErrKey)
	}
	k.Precompute()
	return k, nil
}
