package keystore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Lock puts the keys away under a password (Argon2id): calls fail with vault.ErrLocked until Unlock. It waits for
// transactions under way; the file is not touched and stays open. The caller wipes password.
func (k *Keystore) Lock(ctx context.Context, password secret.Text) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	both, err := k.bothKeys()
	if err != nil {
		return fmt.Errorf("lock keystore: %w", err)
	}
	defer both.Wipe()
	parked, err := k.vault.SealWithPassword(ctx, both, password)
	if err != nil {
		return fmt.Errorf("lock keystore: %w", err)
	}
	k.dropKeys()
	k.parked = parked
	return nil
}

// Unlock reverses Lock with the same password and needs no credential. The error is vault.ErrWrongPassword, or
// vault.ErrLocked when there is nothing to unlock (after Drop). A keystore that is not locked stays as it is.
func (k *Keystore) Unlock(ctx context.Context, password secret.Text) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.data.Empty():
		return nil
	case k.parked.Empty():
		return vault.ErrLocked
	}
	both, err := k.vault.OpenWithPassword(ctx, k.parked, password)
	if err != nil {
		return fmt.Errorf("unlock keystore: %w", err)
	}
	defer both.Wipe()
	dataKey, nameKey := halves(both)
	defer dataKey.Wipe()
	defer nameKey.Wipe()
	err = k.setNames(nameKey)
	if err == nil {
		err = k.unlock(k.era, dataKey)
	}
	if err != nil {
		k.dropKeys()
		return fmt.Errorf("unlock keystore: %w", err)
	}
	k.parked = vault.PasswordSealed{}
	return nil
}

// bothKeys returns data key and name key in one; the caller wipes it. k.mu is held.
func (k *Keystore) bothKeys() (secret.Text, error) {
	dataKey, err := k.dataKey()
	if err != nil {
		return secret.Text{}, err
	}
	defer dataKey.Wipe()
	nameKey, err := k.vault.Open(k.nameKey)
	if err != nil {
		return secret.Text{}, err
	}
	defer nameKey.Wipe()
	both := make([]byte, 0, dataKey.Len()+nameKey.Len()) // never grows, so there is one copy
	for _, key := range []secret.Text{dataKey, nameKey} {
		_ = key.Use(func(b []byte) error { both = append(both, b...); return nil }) // the function cannot fail
	}
	return secret.New(both), nil
}

func halves(both secret.Text) (first, second secret.Text) {
	_ = both.Use(func(b []byte) error { // the function cannot fail
		first, second = secret.New(bytes.Clone(b[:len(b)/2])), secret.New(bytes.Clone(b[len(b)/2:]))
		return nil
	})
	return first, second
}
