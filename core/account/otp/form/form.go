// Package form tells one-time passwords and access tokens from everything else that may be typed at a password prompt,
// by their spelling alone: 128 hexadecimal digits (the compatible form), our own form with prefix and checksum, and the
// compact form of a signed token. What is none of these is somebody's password, and is shown to nobody.
//
// It does not know which passwords exist (core/account/otp does) and checks no token. The PAM helper links it, so it
// imports next to nothing.
//
// Standards: RFC 7515 section 7.1 (compact serialisation), RFC 4648 section 5 (base64url).
//
// Not a public API.
package form

import (
	"bytes"
	"crypto/rand"
	"hash/crc32"
)

// Kind is what a secret looks like.
type Kind int

// The kinds. The zero value is for what is none of our business.
const (
	Other      Kind = iota // a password, a stump, junk
	Own                    // our one-time password
	CompatForm             // SHA-512 of an access token, in lower-case hexadecimal
	JWT                    // a signed token
)

// String is the word for logs.
func (k Kind) String() string {
	switch k {
	case Own:
		return "one-time password"
	case CompatForm:
		return "one-time password (sha512)"
	case JWT:
		return "token"
	}
	return "other"
}

const (
	// Prefix begins our own form, so that scanners for leaked secrets find it.
	Prefix = "oxp_"
	// alphabet has no letter that is taken for a digit, nor "u".
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	random   = 20 // characters of five bits
	check    = 4
	// Length of our own form in bytes.
	Length = len(Prefix) + random + check

	compatLength = 128
	minJWT       = 20 // shorter ones have no room for a header and a signature
)

// New makes a secret in our own form, in its canonical spelling: 100 random bits.
func New() []byte {
	b := make([]byte, Length)
	copy(b, Prefix)
	body := b[len(Prefix) : len(Prefix)+random]
	_, _ = rand.Read(body) // it ends the program when there is no randomness
	for i, c := range body {
		body[i] = alphabet[c&31]
	}
	sum(b)
	return b
}

// sum writes the checksum into the last characters of b.
func sum(b []byte) {
	crc := crc32.ChecksumIEEE(b[:len(b)-check])
	for i := range check {
		b[len(b)-check+i] = alphabet[crc>>(5*i)&31]
	}
}

// Canonical returns a copy of what looks like our own form in the one spelling we make: a person who types it may use
// capital letters, and o, i or l for the digits they look like. It reports false for everything else.
func Canonical(b []byte) ([]byte, bool) {
	if len(b) != Length {
		return nil, false
	}
	c := bytes.ToLower(b)
	if len(c) != Length || string(c[:len(Prefix)]) != Prefix {
		return nil, false
	}
	for i := len(Prefix); i < Length; i++ {
		switch c[i] {
		case 'o':
			c[i] = '0'
		case 'i', 'l':
			c[i] = '1'
		}
		if bytes.IndexByte([]byte(alphabet), c[i]) < 0 {
			return nil, false
		}
	}
	want := bytes.Clone(c)
	sum(want)
	return c, bytes.Equal(c, want)
}

// LooksLike says what secret looks like. It is told nothing about whether such a secret exists.
func LooksLike(secret []byte) Kind {
	switch {
	case isCompat(secret):
		return CompatForm
	case isJWT(secret):
		return JWT
	}
	if _, ok := Canonical(secret); ok {
		return Own
	}
	return Other
}

func isCompat(b []byte) bool {
	if len(b) != compatLength {
		return false
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isJWT: three parts of base64url between two dots, the first the beginning of a JSON object.
func isJWT(b []byte) bool {
	if len(b) < minJWT || !bytes.HasPrefix(b, []byte("eyJ")) {
		return false
	}
	dots, part := 0, 0
	for _, c := range b {
		switch {
		case c == '.':
			if part == 0 {
				return false
			}
			dots, part = dots+1, 0
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			part++
		default:
			return false
		}
	}
	return dots == 2 && part > 0
}
