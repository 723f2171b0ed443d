package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
)

// oldKeys is how many keys stay published after they were replaced.
const oldKeys = 3

// ring holds the signing key, those before it, and the key of MACs. They are kept in the engine, so that tokens stay
// good when the issuer restarts on the same state.
type ring struct {
	mu   sync.RWMutex
	keys []*jose.PrivateKey // newest first; the first signs
	mac  []byte
}

// ringRow is what is kept: JWKs with their private parts. The engine encrypts it where it is told to (store/sealed).
type ringRow struct {
	Keys []string `json:"keys"`
	MAC  string   `json:"mac"`
}

const ringKey = "ring"

// openRing loads the keys from the engine, or makes them.
func (i *Issuer) openRing(ctx context.Context) error {
	row, ok, err := find[ringRow](ctx, i, keyTable(), ringKey)
	if err != nil {
		return err
	}
	if ok {
		return i.ring.restore(row)
	}
	i.ring.mac = make([]byte, 32)
	_, _ = rand.Read(i.ring.mac)
	return i.RotateKeys(ctx)
}

func (r *ring) restore(row ringRow) error {
	mac, err := base64.RawURLEncoding.DecodeString(row.MAC)
	if err != nil || len(mac) != 32 || len(row.Keys) == 0 {
		return errors.New("keys of the issuer are damaged")
	}
	r.mac = mac
	for _, jwk := range row.Keys {
		k, err := jose.ParsePrivateKey([]byte(jwk))
		if err != nil {
			return fmt.Errorf("read a key of the issuer: %w", err)
		}
		r.keys = append(r.keys, k)
	}
	return nil
}

// RotateKeys makes a new signing key, which is published and used at once. The three keys before it stay published.
func (i *Issuer) RotateKeys(ctx context.Context) error {
	k, err := jose.GenerateKey(i.o.Alg, "")
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	i.ring.mu.Lock()
	defer i.ring.mu.Unlock()
	keys := append([]*jose.PrivateKey{k}, i.ring.keys...)
	keys = keys[:min(len(keys), 1+oldKeys)]
	row := ringRow{MAC: base64.RawURLEncoding.EncodeToString(i.ring.mac)}
	for _, k := range keys {
		jwk, err := k.MarshalPrivate()
		if err != nil {
			return fmt.Errorf("write a key of the issuer: %w", err)
		}
		row.Keys = append(row.Keys, jwk.Expose())
		jwk.Wipe()
	}
	err = i.o.Engine.Update(ctx, func(tx store.WTx) error { return save(tx, slot{table: keyTable(), key: ringKey}, row) })
	if err != nil {
		return err
	}
	i.ring.keys = keys
	return nil
}

func (r *ring) signer() *jose.PrivateKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[0]
}

// public returns the key set to publish, newest first.
func (r *ring) public() *jose.KeySet {
	r.mu.RLock()
	defer r.mu.RUnlock()
	set := make([]*jose.PublicKey, len(r.keys))
	for n, k := range r.keys {
		set[n] = k.Public()
	}
	return jose.NewKeySet(set...)
}
