package vault

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/crypto/argon2"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Foreign is a derivation as another program's file prescribes it: oidc-agent's account files want a key of 64 bytes,
// and before version 2.1.0 Argon2i.
type Foreign struct {
	Params
	Size    int // bytes of the key
	Argon2i bool
}

const maxForeign = 128

// Derive is Argon2 of that kind. It shares the turn, so that a process never holds the memory of two derivations. The
// error wraps ErrParams for what no real file asks for.
func (f Foreign) Derive(ctx context.Context, password secret.Text, salt []byte) (secret.Text, error) {
	if err := f.Check(); err != nil {
		return secret.Text{}, err
	}
	if len(salt) < minSalt || len(salt) > maxSalt || f.Size < keySize || f.Size > maxForeign {
		return secret.Text{}, fmt.Errorf("%w: salt of %d bytes, key of %d", ErrParams, len(salt), f.Size)
	}
	if err := ctx.Err(); err != nil {
		return secret.Text{}, err
	}
	select {
	case turn() <- struct{}{}:
	case <-ctx.Done():
		return secret.Text{}, ctx.Err()
	}
	defer func() { <-turn() }()
	defer debug.FreeOSMemory()
	derive := argon2.IDKey
	if f.Argon2i {
		derive = argon2.Key
	}
	var key secret.Text
	err := password.Use(func(pw []byte) error {
		key = secret.New(derive(pw, salt, f.Time, f.Memory, f.Threads, uint32(f.Size)))
		return nil
	})
	return key, err
}
