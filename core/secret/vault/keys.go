package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// HashSize is the length of what HashPart returns.
const HashSize = 16

// Purposes of the keys derived from a data key. They are part of the file format.
const (
	infoSeal = "oidcbox keystore v1 seal"
	infoHash = "oidcbox keystore v1 hash key parts"
)

// Keys seals the records of one keystore. It implements store.Sealer and is safe for concurrent use.
type Keys struct {
	vault *Vault

	mu     sync.RWMutex // held for writing by Drop, Lock and Unlock
	pair   Sealed       // sealing key, then hashing key; empty when locked or dropped
	parked PasswordSealed
}

var _ store.Sealer = (*Keys)(nil)

// Sealer returns the keys derived from a data key of 32 bytes. The caller wipes dataKey.
func (v *Vault) Sealer(dataKey secret.Text) (*Keys, error) {
	pair := make([]byte, 0, areaSize)
	defer func() { clear(pair[:cap(pair)]) }()
	for _, info := range []string{infoSeal, infoHash} {
		sub, err := Derive(dataKey, info)
		if err != nil {
			return nil, err
		}
		err = sub.Use(func(b []byte) error { pair = append(pair, b...); return nil })
		sub.Wipe()
		if err != nil {
			return nil, err
		}
	}
	sealed, err := v.sealBytes(pair)
	if err != nil {
		return nil, err
	}
	return &Keys{vault: v, pair: sealed}, nil
}

// NewSealer returns keys that nobody can derive again, for data that ends with the process.
func (v *Vault) NewSealer() (*Keys, error) {
	b := make([]byte, keySize)
	_, _ = rand.Read(b) // never fails
	key := secret.New(b)
	defer key.Wipe()
	return v.Sealer(key)
}

// Derive returns a key of 32 bytes for one purpose from a data key of 32 bytes (HKDF-SHA256, RFC 5869).
func Derive(dataKey secret.Text, purpose string) (secret.Text, error) {
	var sub secret.Text
	err := dataKey.Use(func(b []byte) error {
		if len(b) != keySize {
			return fmt.Errorf("derive a key: data key has %d bytes, not %d", len(b), keySize)
		}
		k, err := hkdf.Key(sha256.New, b, nil, purpose, keySize)
		if err != nil {
			return fmt.Errorf("derive a key: %w", err)
		}
		sub = secret.New(k)
		return nil
	})
	return sub, err
}

// Seal returns plaintext encrypted (XChaCha20-Poly1305, random nonce in front) and bound to ad.
func (k *Keys) Seal(plaintext, ad []byte) ([]byte, error) {
	var box []byte
	err := k.use(func(sealKey, _ []byte) (err error) {
		box, err = seal(make([]byte, 0, len(plaintext)+overhead), sealKey, plaintext, ad)
		return err
	})
	return box, err
}

// Open reverses Seal. What does not open gives store.ErrSealed.
func (k *Keys) Open(ciphertext, ad []byte) ([]byte, error) {
	var plain []byte
	err := k.use(func(sealKey, _ []byte) (err error) {
		plain, err = open(make([]byte, 0, len(ciphertext)), sealKey, ciphertext, ad)
		if err != nil {
			return store.ErrSealed
		}
		return nil
	})
	return plain, err
}

// HashPart returns the keyed BLAKE2b-128 of a part of a key, different for every table.
func (k *Keys) HashPart(table, part string) ([]byte, error) {
	var sum []byte
	err := k.use(func(_, hashKey []byte) error {
		h, err := blake2b.New(HashSize, hashKey)
		if err != nil {
			return fmt.Errorf("hash a key part: %w", err)
		}
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(table)))
		_, _ = h.Write(n[:])
		_, _ = h.Write([]byte(table))
		_, _ = h.Write([]byte(part))
		sum = h.Sum(nil)
		return nil
	})
	return sum, err
}

func (k *Keys) use(fn func(sealKey, hashKey []byte) error) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.pair.Empty() {
		return ErrLocked
	}
	return k.vault.with(k.pair, func(pair []byte) error { return fn(pair[:keySize], pair[keySize:]) })
}

// Drop forgets the keys: later calls fail with ErrLocked. It waits for running calls.
func (k *Keys) Drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pair.wipe()
	k.pair, k.parked = Sealed{}, PasswordSealed{}
}

// Lock puts the keys away under a password: calls fail with ErrLocked until Unlock. The data need not be touched.
func (k *Keys) Lock(ctx context.Context, password secret.Text) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pair.Empty() {
		return ErrLocked
	}
	pair, err := k.vault.Open(k.pair)
	if err != nil {
		return err
	}
	defer pair.Wipe()
	parked, err := k.vault.SealWithPassword(ctx, pair, password)
	if err != nil {
		return err
	}
	k.pair.wipe()
	k.pair, k.parked = Sealed{}, parked
	return nil
}

// Unlock reverses Lock. The error is ErrWrongPassword, or ErrLocked when there is nothing to unlock (after Drop). Keys
// that are not locked stay as they are.
func (k *Keys) Unlock(ctx context.Context, password secret.Text) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.pair.Empty() {
		return nil
	}
	if k.parked.Empty() {
		return ErrLocked
	}
	pair, err := k.vault.OpenWithPassword(ctx, k.parked, password)
	if err != nil {
		return err
	}
	defer pair.Wipe()
	sealed, err := k.vault.Seal(pair)
	if err != nil {
		return err
	}
	k.pair, k.parked = sealed, PasswordSealed{}
	return nil
}
