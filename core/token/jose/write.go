package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"

	"github.com/go-json-experiment/json/jsontext"
)

// writer builds a flat JSON object. Names are plain or the result is an error: a name that needs escaping never gets
// out (GHSA-4cf7-xm37-g63h is what happens otherwise).
type writer struct {
	b   []byte
	err error
}

func newWriter() *writer { return &writer{b: []byte{'{'}} }

func (w *writer) member(name, value string) {
	if !plainName(name) {
		w.err = errors.Join(w.err, ErrName)
		return
	}
	if len(w.b) > 1 {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
	b, err := jsontext.AppendQuote(w.b, value)
	w.err = errors.Join(w.err, err)
	w.b = b
}

func (w *writer) bytes(name string, value []byte) {
	w.member(name, base64.RawURLEncoding.EncodeToString(value))
}

func (w *writer) done() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return append(w.b, '}'), nil
}

// write adds the members of a public JWK.
func (k *PublicKey) write(w *writer) {
	k.writeMaterial(w)
	if k.hasID {
		w.member("kid", k.id)
	}
	w.member("use", "sig")
	if k.alg != "" {
		w.member("alg", string(k.alg))
	}
}

// writeMaterial adds the members a thumbprint is made of, in its order (RFC 7638 section 3.2: by name).
func (k *PublicKey) writeMaterial(w *writer) {
	switch p := k.key.(type) {
	case *rsa.PublicKey:
		w.bytes("e", big.NewInt(int64(p.E)).Bytes())
		w.member("kty", "RSA")
		w.bytes("n", p.N.Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x, y
		if err != nil {
			w.err = errors.Join(w.err, err)
			return
		}
		n := coordinateSize(p)
		w.member("crv", curveName(p.Curve))
		w.member("kty", "EC")
		w.bytes("x", point[1:1+n])
		w.bytes("y", point[1+n:])
	case ed25519.PublicKey:
		w.member("crv", "Ed25519")
		w.member("kty", "OKP")
		w.bytes("x", p)
	}
}

// coordinateSize is the length in bytes of x, y and d on the curve of k.
func coordinateSize(k *ecdsa.PublicKey) int { return (k.Params().BitSize + 7) / 8 }

func curveName(c elliptic.Curve) string { return c.Params().Name }

// Thumbprint returns the SHA-256 thumbprint of RFC 7638 in base64url.
func (k *PublicKey) Thumbprint() string {
	w := newWriter()
	k.writeMaterial(w)
	b, err := w.done()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// MarshalJSON writes the key as a public JWK.
func (k *PublicKey) MarshalJSON() ([]byte, error) {
	w := newWriter()
	k.write(w)
	return w.done()
}

// MarshalJSON writes the set as a JWK set.
func (s *KeySet) MarshalJSON() ([]byte, error) {
	b := []byte(`{"keys":[`)
	for i, k := range s.Keys() {
		if i > 0 {
			b = append(b, ',')
		}
		one, err := k.MarshalJSON()
		if err != nil {
			return nil, err
		}
		b = append(b, one...)
	}
	return append(b, "]}"...), nil
}
