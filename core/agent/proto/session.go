package proto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"

	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 box.Precompute, which uses it, takes points of low order
	"golang.org/x/crypto/salsa20/salsa"
)

const (
	keyLen   = 44 // base64 of 32 bytes
	nonceLen = 32 // base64 of 24 bytes
	// maxCount bounds the decimal length in front of a cipher text.
	maxCount = 10
)

// session is the shared key of one connection: HSalsa20 of the X25519 secret, as NaCl's box.
type session struct{ key [32]byte }

// newKey makes the key pair of one connection.
func newKey() (*ecdh.PrivateKey, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key pair: %w", err)
	}
	return k, nil
}

// publicText is the public key as it goes over the wire.
func publicText(k *ecdh.PrivateKey) []byte {
	return base64.StdEncoding.AppendEncode(make([]byte, 0, keyLen), k.PublicKey().Bytes())
}

// parseKey reads a peer's public key as it came over the wire.
func parseKey(text []byte) (*ecdh.PublicKey, error) {
	var raw [33]byte
	n, err := base64.StdEncoding.Decode(raw[:], text)
	if err != nil || n != 32 {
		return nil, fmt.Errorf("public key: %w", ErrMalformed)
	}
	key, err := ecdh.X25519().NewPublicKey(raw[:32])
	if err != nil {
		return nil, fmt.Errorf("public key: %w", ErrMalformed)
	}
	return key, nil
}

// newSession agrees on a key. A point of low order, with which the peer would know the secret without a key of its own,
// is refused.
func newSession(own *ecdh.PrivateKey, peer *ecdh.PublicKey) (*session, error) {
	secret, err := own.ECDH(peer)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", ErrMalformed)
	}
	s := new(session)
	var point [32]byte
	copy(point[:], secret)
	salsa.HSalsa20(&s.key, new([16]byte), &point, &salsa.Sigma)
	clear(secret)
	clear(point[:])
	return s, nil
}

// wipe clears the key.
func (s *session) wipe() { clear(s.key[:]) }

// seal returns the message "<length>:<nonce>:<cipher>" for the text, under a fresh nonce.
func (s *session) seal(plain []byte) []byte {
	var nonce [24]byte
	// crypto/rand never fails: it ends the process instead.
	_, _ = rand.Read(nonce[:])
	return s.sealWith(plain, &nonce)
}

func (s *session) sealWith(plain []byte, nonce *[24]byte) []byte {
	box := secretbox.Seal(make([]byte, 0, len(plain)+secretbox.Overhead), plain, nonce, &s.key)
	out := make([]byte, 0, maxCount+2+nonceLen+base64.StdEncoding.EncodedLen(len(box)))
	out = strconv.AppendInt(out, int64(len(plain)), 10)
	out = append(out, ':')
	out = base64.StdEncoding.AppendEncode(out, nonce[:])
	out = append(out, ':')
	return base64.StdEncoding.AppendEncode(out, box)
}

// open returns the text of a whole cipher message. The length in it is not believed.
func (s *session) open(msg []byte) ([]byte, error) {
	_, nonceText, boxText, ok := splitCipher(msg)
	if !ok || len(nonceText) != nonceLen || bytes.ContainsAny(boxText, "\r\n") {
		return nil, ErrMalformed
	}
	var nonce [24]byte
	if n, err := base64.StdEncoding.Decode(nonce[:], nonceText); err != nil || n != len(nonce) {
		return nil, ErrMalformed
	}
	box, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(boxText))), boxText)
	if err != nil || len(box) < secretbox.Overhead {
		return nil, ErrMalformed
	}
	plain, ok := secretbox.Open(make([]byte, 0, len(box)-secretbox.Overhead), box, &nonce, &s.key)
	if !ok {
		return nil, ErrMalformed
	}
	return plain, nil
}

// splitCipher cuts a cipher message, perhaps an unfinished one, at its colons. ok is false while the second colon is
// not there, and for a length that is no number.
func splitCipher(msg []byte) (count int, nonce, box []byte, ok bool) {
	head, rest, found := bytes.Cut(msg, []byte{':'})
	if !found || len(head) > maxCount {
		return 0, nil, nil, false
	}
	count, err := strconv.Atoi(string(head))
	if err != nil || count < 0 {
		return 0, nil, nil, false
	}
	nonce, box, ok = bytes.Cut(rest, []byte{':'})
	return count, nonce, box, ok
}
