package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Limits for what a file may ask of Argon2: beyond libsodium's "moderate" there is no real file.
const (
	maxPasses = 16
	maxMemory = 256 << 20 // bytes
)

// kdf are the costs of a derivation of the original: always one lane.
type kdf struct {
	passes uint32
	memory uint32 // KiB
	argonI bool   // Argon2i instead of Argon2id
}

// writerCosts are the only ones that the original reads whatever line 4 says.
func writerCosts() kdf { return kdf{passes: 2, memory: 64 << 10} }

// turn is held for the length of one derivation, so that a process never has the memory of two.
var turn = sync.OnceValue(func() chan struct{} { return make(chan struct{}, 1) })

// derive returns size bytes. Waiting for other derivations ends with ctx.
func (k kdf) derive(ctx context.Context, password secret.Text, salt []byte, size uint32) (secret.Text, error) {
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
	fn := argon2.IDKey
	if k.argonI {
		fn = argon2.Key
	}
	var key secret.Text
	err := password.Use(func(pw []byte) error {
		key = secret.New(fn(pw, salt, k.passes, k.memory, 1, size))
		return nil
	})
	return key, err
}

func (f File) openNew(ctx context.Context, password secret.Text) (secret.Text, error) {
	key, err := f.params.derive(ctx, password, f.salt, 2*keySize)
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

// openOld tries both derivations of the time before 2.1.0, which the file does not tell apart.
func (f File) openOld(ctx context.Context, password secret.Text) (secret.Text, error) {
	for _, costs := range []kdf{{passes: 4, memory: 32 << 10, argonI: true}, writerCosts()} {
		key, err := costs.derive(ctx, password, f.salt, keySize)
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
	costs := writerCosts()
	key, err := costs.derive(ctx, password, s.salt[:], 2*keySize)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	var cipher, check []byte
	err = key.Use(func(b []byte) error {
		k := [keySize]byte(b)
		defer clear(k[:])
		check = append(check, b[keySize:]...)
		return plain.Use(func(p []byte) error {
			cipher = secretbox.Seal(nil, p, &s.nonce, &k)
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
			nonceSize, saltSize, macSize, keySize, costs.passes, uint64(costs.memory)<<10),
		b64(cipher),
		b64(check),
		generated + fileVersion,
	}, "\n")), nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
