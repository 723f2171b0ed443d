package vault

import (
	"context"
	"crypto/rand"

	"github.com/oidcbox/oidcbox/core/secret"
)

// PasswordSealed is a secret under a password, and under the session key around that: it ends with the vault, and a
// copy of the memory is no help to somebody who guesses. The zero value is empty.
type PasswordSealed struct {
	salt   []byte
	params Params
	outer  Sealed
}

// Empty reports whether nothing was sealed.
func (s PasswordSealed) Empty() bool { return s.outer.Empty() }

// SealWithPassword seals t so that it opens only with the password. The caller wipes both.
func (v *Vault) SealWithPassword(ctx context.Context, t, password secret.Text) (PasswordSealed, error) {
	s := PasswordSealed{salt: make([]byte, 16), params: DefaultParams()}
	_, _ = rand.Read(s.salt) // never fails
	key, err := Argon2(ctx, password, s.salt, s.params)
	if err != nil {
		return PasswordSealed{}, err
	}
	defer key.Wipe()
	box, err := SealWith(key, t, nil)
	if err != nil {
		return PasswordSealed{}, err
	}
	s.outer, err = v.sealBytes(box)
	if err != nil {
		return PasswordSealed{}, err
	}
	return s, nil
}

// OpenWithPassword reverses SealWithPassword, or fails with ErrWrongPassword.
func (v *Vault) OpenWithPassword(ctx context.Context, s PasswordSealed, password secret.Text) (secret.Text, error) {
	if s.Empty() {
		return secret.Text{}, nil
	}
	box, err := v.Open(s.outer)
	if err != nil {
		return secret.Text{}, err
	}
	defer box.Wipe()
	key, err := Argon2(ctx, password, s.salt, s.params)
	if err != nil {
		return secret.Text{}, err
	}
	defer key.Wipe()
	var t secret.Text
	err = box.Use(func(b []byte) (err error) {
		t, err = OpenWith(key, b, nil)
		return err
	})
	if err != nil {
		return secret.Text{}, ErrWrongPassword
	}
	return t, nil
}

// SealWith seals t under a key of 32 bytes that lives outside a vault (a key slot), bound to ad.
func SealWith(key, t secret.Text, ad []byte) ([]byte, error) {
	var box []byte
	err := key.Use(func(k []byte) error {
		return t.Use(func(plain []byte) (err error) {
			box, err = seal(make([]byte, 0, len(plain)+overhead), k, plain, ad)
			return err
		})
	})
	return box, err
}

// OpenWith reverses SealWith. The error does not tell a wrong key from a changed box.
func OpenWith(key secret.Text, box, ad []byte) (secret.Text, error) {
	plain := make([]byte, 0, len(box))
	err := key.Use(func(k []byte) (err error) {
		plain, err = open(plain, k, box, ad)
		return err
	})
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(plain), nil
}
