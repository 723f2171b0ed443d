package mytoken

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

var (
	// errOldCipher is returned for an entry of tokens.json in neither of the two forms.
	errOldCipher = errors.New("it is encrypted in no form that is known")
	// errOldPassword is returned when a password does not fit.
	errOldPassword = errors.New("the password is wrong, or the entry was changed")
)

// The password form of older versions.
const (
	oldRounds = 8
	oldSalt   = 16
	oldKey    = 32
)

// pgpMessage is the armoured message that an entry with a gpg key has as base64, or as it is.
func pgpMessage(text string) ([]byte, bool) {
	const head = "-----BEGIN PGP MESSAGE-----"
	if strings.HasPrefix(strings.TrimSpace(text), head) {
		return []byte(text), true
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || !bytes.HasPrefix(bytes.TrimSpace(b), []byte(head)) {
		return nil, false
	}
	return b, true
}

// openOld opens salt-nonce-ciphertext: AES-256-GCM under PBKDF2 with HMAC-SHA-512. Its eight rounds are what the files
// have; nothing new is written in this form.
func openOld(text string, password secret.Text) (secret.Text, error) {
	parts := strings.Split(strings.TrimSpace(text), "-")
	if len(parts) != 3 {
		return secret.Text{}, errOldCipher
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.StdEncoding.DecodeString(p)
		if err != nil {
			return secret.Text{}, errOldCipher
		}
		raw[i] = b
	}
	salt, nonce, sealed := raw[0], raw[1], raw[2]
	var mt secret.Text
	err := password.Use(func(p []byte) error {
		key, err := pbkdf2.Key(sha512.New, string(p), salt, oldRounds, oldKey)
		if err != nil {
			return errOldCipher
		}
		defer clear(key)
		block, err := aes.NewCipher(key)
		if err != nil {
			return errOldCipher
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil || len(salt) != oldSalt || len(nonce) != gcm.NonceSize() {
			return errOldCipher
		}
		plain, err := gcm.Open(nil, nonce, sealed, nil)
		if err != nil {
			return errOldPassword
		}
		mt = secret.New(plain)
		return nil
	})
	if err != nil {
		return secret.Text{}, err
	}
	return trimmed(mt)
}

// trimmed is the mytoken in what was encrypted.
func trimmed(t secret.Text) (secret.Text, error) {
	defer t.Wipe()
	var out secret.Text
	err := t.Use(func(b []byte) (err error) { out, err = bearer.Parse(b); return err })
	return out, err
}
