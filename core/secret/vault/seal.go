package vault

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keySize   = chacha20poly1305.KeySize
	nonceSize = chacha20poly1305.NonceSizeX
	overhead  = nonceSize + chacha20poly1305.Overhead
)

var errAuth = errors.New("message authentication failed")

// seal appends a random nonce and the XChaCha20-Poly1305 ciphertext of plaintext to dst.
//
// It is composed of HChaCha20 and ChaCha20-Poly1305 as the draft defines it (section 2.3), instead of calling NewX,
// because NewX copies the key to the heap. Here only the key of this one message gets there.
func seal(dst, key, plaintext, ad []byte) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	sub, err := chacha20.HChaCha20(key, nonce[:16])
	if err != nil {
		return nil, fmt.Errorf("derive message key: %w", err)
	}
	defer clear(sub)
	aead, err := chacha20poly1305.New(sub)
	if err != nil {
		return nil, fmt.Errorf("set up cipher: %w", err)
	}
	dst = append(dst, nonce...)
	return aead.Seal(dst, shortNonce(nonce), plaintext, ad), nil
}

// open appends the plaintext of what seal made to dst. The error says nothing but that it does not open.
func open(dst, key, box, ad []byte) ([]byte, error) {
	if len(box) < overhead {
		return nil, errAuth
	}
	nonce := box[:nonceSize]
	sub, err := chacha20.HChaCha20(key, nonce[:16])
	if err != nil {
		return nil, fmt.Errorf("derive message key: %w", err)
	}
	defer clear(sub)
	aead, err := chacha20poly1305.New(sub)
	if err != nil {
		return nil, fmt.Errorf("set up cipher: %w", err)
	}
	plain, err := aead.Open(dst, shortNonce(nonce), box[nonceSize:], ad)
	if err != nil {
		return nil, errAuth
	}
	return plain, nil
}

// shortNonce is the part of a 24-byte nonce that HChaCha20 did not use, behind four zero bytes.
func shortNonce(nonce []byte) []byte {
	short := make([]byte, chacha20poly1305.NonceSize)
	copy(short[4:], nonce[16:])
	return short
}
