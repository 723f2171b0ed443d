package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// costs are what the original always writes and reads, whatever line 4 says.
func costs() vault.Params { return vault.Params{Time: 2, Memory: 64 << 10, Threads: 1} }

// derivation is the one of files since 2.1.0: a key and a check key.
func derivation(p vault.Params) vault.Foreign { return vault.Foreign{Params: p, Size: 2 * keySize} }

// oldDerivations are the two of the time before, which a file does not tell apart.
func oldDerivations() []vault.Foreign {
	return []vault.Foreign{
		{Params: vault.Params{Time: 4, Memory: 32 << 10, Threads: 1}, Size: keySize, Argon2i: true},
		{Params: costs(), Size: keySize},
	}
}

func (f File) openNew(ctx context.Context, password secret.Text) (secret.Text, error) {
	key, err := derivation(f.params).Derive(ctx, password, f.salt)
	if err != nil {
		return secret.Text{}, err
	}
	defer key.Wipe()
	var plain secret.Text
	err = key.Use(func(k []byte) error {
		if subtle.ConstantTimeCompare(k[keySize:], f.check) != 1 {
			return ErrWrongPassword
		}
		plain, err = unbox(k, f.nonce, f.cipher)
		return err
	})
	return plain, err
}

// openOld tries both derivations.
func (f File) openOld(ctx context.Context, password secret.Text) (secret.Text, error) {
	for _, d := range oldDerivations() {
		key, err := d.Derive(ctx, password, f.salt)
		if err != nil {
			return secret.Text{}, err
		}
		var plain secret.Text
		err = key.Use(func(k []byte) error {
			plain, err = unbox(k, f.nonce, f.cipher)
			return err
		})
		key.Wipe()
		if !errors.Is(err, ErrFormat) {
			return plain, err
		}
	}
	return secret.Text{}, ErrWrongPassword
}

// unbox opens a secretbox with the first 32 bytes of key.
func unbox(key, nonce, cipher []byte) (secret.Text, error) {
	k := [keySize]byte(key)
	defer clear(k[:])
	plain, ok := secretbox.Open(nil, cipher, (*[nonceSize]byte)(nonce), &k)
	if !ok {
		return secret.Text{}, fmt.Errorf("%w: the content was changed", ErrFormat)
	}
	return secret.New(plain), nil
}

// EncryptFile returns an account file with plain in it, as the original writes it, byte for byte but for the salt.
func EncryptFile(ctx context.Context, plain, password secret.Text) ([]byte, error) {
	if plain.Len() > MaxFile/2 {
		return nil, ErrTooLarge
	}
	var s sprinkle
	// crypto/rand does not fail: the program ends instead.
	_, _ = rand.Read(s.nonce[:])
	_, _ = rand.Read(s.salt[:])
	return s.encrypt(ctx, plain, password)
}

// sprinkle is what must be new in each file.
type sprinkle struct {
	nonce [nonceSize]byte
	salt  [saltSize]byte
}

func (s sprinkle) encrypt(ctx context.Context, plain, password secret.Text) ([]byte, error) {
	p := costs()
	key, err := derivation(p).Derive(ctx, password, s.salt[:])
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	var cipher, check []byte
	err = key.Use(func(b []byte) error {
		k := [keySize]byte(b)
		defer clear(k[:])
		check = append(check, b[keySize:]...)
		return plain.Use(func(text []byte) error {
			cipher = secretbox.Seal(nil, text, &s.nonce, &k)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return []byte(strings.Join([]string{
		strconv.Itoa(len(cipher)),
		b64(s.nonce[:]),
		b64(s.salt[:]),
		fmt.Sprintf("%d:%d:%d:%d:1:%d:%d:2",
			nonceSize, saltSize, macSize, keySize, p.Time, uint64(p.Memory)<<10),
		b64(cipher),
		b64(check),
		generated + fileVersion,
	}, "\n")), nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
