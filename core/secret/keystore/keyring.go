package keystore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	keyringService = "oidcbox"
	// keyringLimit is how long a keyring may take. It may ask the person to unlock it.
	keyringLimit = 60 * time.Second
)

func keyringNames(h *header, n NewSlot) []string {
	service, user := n.Service, n.User
	if service == "" {
		service = keyringService
	}
	if user == "" {
		user = "keystore-" + hex.EncodeToString(h.id[:])
	}
	return []string{service, user}
}

// makeKeyringEntry keeps a new random key in the keyring. It does not replace one.
func makeKeyringEntry(ctx context.Context, service, user string) (key secret.Text, undo func(), err error) {
	undo = func() {}
	old, err := readKeyringEntry(ctx, service, user)
	old.Wipe()
	if err == nil {
		return secret.Text{}, undo, fmt.Errorf("keyring has an entry %s/%s already: %w", service, user, ErrUnfit)
	}
	if !errors.Is(err, keyring.ErrNotFound) {
		return secret.Text{}, undo, err
	}
	b := make([]byte, minKey)
	_, _ = rand.Read(b) // never fails
	text := base64.StdEncoding.EncodeToString(b)
	err = withKeyring(ctx, func() error { return keyring.Set(service, user, text) })
	if err != nil {
		clear(b)
		return secret.Text{}, undo, err
	}
	return secret.New(b), func() { _ = keyring.Delete(service, user) }, nil
}

func readKeyringEntry(ctx context.Context, service, user string) (secret.Text, error) {
	var text string
	err := withKeyring(ctx, func() (err error) {
		text, err = keyring.Get(service, user)
		return err
	})
	if err != nil {
		return secret.Text{}, err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < minKey {
		clear(b)
		return secret.Text{}, fmt.Errorf("keyring entry %s/%s is none of ours: %w", service, user, ErrUnfit)
	}
	return secret.New(b), nil
}

// removeKeyringEntry forgets the key of a removed slot. That it is gone already is no error.
func removeKeyringEntry(ctx context.Context, service, user string) error {
	err := withKeyring(ctx, func() error { return keyring.Delete(service, user) })
	if errors.Is(err, keyring.ErrNotFound) {
		return nil
	}
	return err
}

// withKeyring bounds a call into the keyring library, which takes no context. A call that hangs (a prompt that nobody
// answers) keeps its goroutine until the keyring gives up; there is no way to stop it.
func withKeyring(ctx context.Context, call func() error) error {
	if err := checkKeyring(); err != nil {
		return fmt.Errorf("ask the keyring: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, keyringLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("ask the keyring: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ask the keyring: %w", ctx.Err())
	}
}

// quietly asks the keyring only when it is open.
func quietly(
	key func(context.Context, Slot) (secret.Text, error),
) func(context.Context, Slot) (secret.Text, error) {
	return func(ctx context.Context, s Slot) (secret.Text, error) {
		if err := withKeyring(ctx, keyringOpen); err != nil {
			return secret.Text{}, err
		}
		return key(ctx, s)
	}
}
