package vault

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Params are the costs of Argon2id (RFC 9106).
type Params struct {
	Time    uint32 // passes
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultParams is the second choice that RFC 9106 section 4 recommends for all environments: 3 passes over 64 MiB
// with 4 lanes. The first choice wants 2 GiB, which a login node does not have for everybody.
func DefaultParams() Params { return Params{Time: 3, Memory: 64 << 10, Threads: 4} }

// Limits for parameters that come out of a file, so that a hostile one costs seconds and 256 MiB at worst.
const (
	maxTime    = 16
	maxMemory  = 256 << 10 // KiB
	maxThreads = 16
	minSalt    = 8
	maxSalt    = 64
)

// Check reports whether p is within the limits. The error wraps ErrParams.
func (p Params) Check() error {
	switch {
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("%w: %d passes", ErrParams, p.Time)
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("%w: %d threads", ErrParams, p.Threads)
	case p.Memory < 8*uint32(p.Threads) || p.Memory > maxMemory:
		return fmt.Errorf("%w: %d kB of memory", ErrParams, p.Memory)
	}
	return nil
}

// turn is taken for the length of one derivation: a process never holds the memory of two.
var turn = sync.OnceValue(func() chan struct{} { return make(chan struct{}, 1) })

// Argon2 derives a key of 32 bytes from a password. One derivation runs at a time in a process; waiting for the turn
// ends with ctx, the derivation itself cannot be stopped. Its memory is given back to the system before Argon2 returns.
func Argon2(ctx context.Context, password secret.Text, salt []byte, p Params) (secret.Text, error) {
	if err := p.Check(); err != nil {
		return secret.Text{}, err
	}
	if len(salt) < minSalt || len(salt) > maxSalt {
		return secret.Text{}, fmt.Errorf("%w: salt of %d bytes", ErrParams, len(salt))
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
	var key secret.Text
	err := password.Use(func(pw []byte) error {
		key = secret.New(argon2.IDKey(pw, salt, p.Time, p.Memory, p.Threads, keySize))
		return nil
	})
	return key, err
}
