package keystore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// Keystore is an unlocked keystore. Its methods are safe for concurrent use.
type Keystore struct {
	inner store.Engine
	vault *vault.Vault
	now   func() time.Time

	patience time.Duration // how long to wait while another process rekeys

	mu    sync.RWMutex // held for writing while the data key changes; every transaction holds it for reading
	era   era
	data  vault.Sealed // the data key
	keys  *vault.Keys
	eng   store.Engine // inner, sealed with keys
	names *vault.Keys  // hides the names of leases; stays the same over a Rekey

	nameKey vault.Sealed         // what names is made of
	parked  vault.PasswordSealed // between Lock and Unlock: data key, then name key

	closed   atomic.Bool
	tablesMu sync.Mutex
	tables   map[string]store.Table // every table that was ever written to
}

// Info is what a header tells without being unlocked. It is not verified.
type Info struct {
	ID      string // of the data key, 32 hex digits
	Version int
	Epoch   int       // counts data keys from 1
	Created time.Time // of the keystore
	Slots   []Slot
	// Unfinished is set when a Rekey was interrupted or is running; the next Open clears up after it.
	Unfinished bool
}

// DefaultPath is where a person's keystore lies: $XDG_STATE_HOME/oidcbox/keystore, else below ~/.local/state.
func DefaultPath(getenv func(string) string) (string, error) {
	// A relative XDG directory counts as unset (XDG Base Directory Specification).
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "oidcbox", "keystore"), nil
	}
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if dir := getenv(name); filepath.IsAbs(dir) {
			return filepath.Join(dir, ".local", "state", "oidcbox", "keystore"), nil
		}
	}
	return "", errors.New("find the keystore: neither XDG_STATE_HOME nor HOME is an absolute path")
}

// Exists reports whether eng holds a keystore, of whatever version.
func Exists(ctx context.Context, eng store.Engine) (bool, error) {
	_, err := readRaw(ctx, eng)
	if errors.Is(err, ErrNoHeader) {
		return false, nil
	}
	return err == nil, err
}

// Inspect reads the header without unlocking. The errors are those of Open.
func Inspect(ctx context.Context, eng store.Engine) (Info, error) {
	h, err := readHeader(ctx, eng)
	if err != nil {
		return Info{}, err
	}
	return Info{
		ID: hex.EncodeToString(h.id[:]), Version: version, Epoch: int(h.epoch), Created: h.created,
		Slots: h.describe(), Unfinished: h.stale != 0,
	}, nil
}

// Create makes a keystore with one slot and a random data key. ErrExists when there is one.
func Create(ctx context.Context, eng store.Engine, v *vault.Vault, first NewSlot) (*Keystore, error) {
	if have, err := Exists(ctx, eng); err != nil || have {
		return nil, errors.Join(err, existsError(have))
	}
	dataKey := randomKey()
	defer dataKey.Wipe()
	k := newKeystore(eng, v)
	h := &header{epoch: 1, created: k.now().UTC().Truncate(time.Second)}
	_, _ = rand.Read(h.id[:]) // never fails
	made, err := makeSlot(ctx, h, first, k.now())
	if err != nil {
		return nil, err
	}
	defer made.kek.Wipe()
	err = h.wrap(&made.slot, made.kek, dataKey)
	h.slots = []slot{made.slot}
	if err == nil {
		err = h.sign(dataKey)
	}
	if err == nil {
		err = k.unlock(h.era(), dataKey)
	}
	if err == nil {
		err = k.writeFirst(ctx, h)
	}
	if err != nil {
		made.takeBack(err)
		k.Drop()
		return nil, fmt.Errorf("create keystore: %w", err)
	}
	return k, nil
}

func existsError(have bool) error {
	if have {
		return ErrExists
	}
	return nil
}

// Open unlocks the keystore. Errors: ErrNoHeader, ErrWrongPassphrase, ErrWrongKey, ErrNoSlot, ErrUnfit, ErrTampered,
// store.ErrVersion, store.ErrCorrupt, ErrBusy. Nothing is written, but what an interrupted Rekey has left over is
// removed, for which Open waits until it is certain that the Rekey is dead (seconds).
func Open(ctx context.Context, eng store.Engine, v *vault.Vault, cred Credential) (*Keystore, error) {
	h, err := readHeader(ctx, eng)
	if err != nil {
		return nil, err
	}
	_, dataKey, err := cred.open(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("unlock keystore: %w", err)
	}
	defer dataKey.Wipe()
	if err := h.verify(dataKey); err != nil {
		return nil, err
	}
	k := newKeystore(eng, v)
	if err := k.unlock(h.era(), dataKey); err != nil {
		return nil, err
	}
	if err := k.load(ctx); err != nil {
		k.Drop()
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	if h.stale == 0 {
		return k, nil
	}
	switch err := k.clearStale(ctx); {
	case err == nil, errors.Is(err, store.ErrReadOnly):
		return k, nil
	case errors.Is(err, ErrRekeyed):
		// It was no interrupted Rekey but a running one, and it is done.
		k.Drop()
		return Open(ctx, eng, v, cred)
	default:
		k.Drop()
		return nil, fmt.Errorf("clear up after an interrupted rekey: %w", err)
	}
}

func newKeystore(eng store.Engine, v *vault.Vault) *Keystore {
	return &Keystore{
		inner: eng, vault: v, now: time.Now, patience: markTTL + 5*time.Second, tables: map[string]store.Table{},
	}
}

func randomKey() secret.Text {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return secret.New(b)
}

// unlock puts the data key into the vault.
func (k *Keystore) unlock(e era, dataKey secret.Text) error {
	data, err := k.vault.Seal(dataKey)
	if err != nil {
		return fmt.Errorf("keep the data key: %w", err)
	}
	keys, err := k.vault.Sealer(dataKey)
	if err != nil {
		return fmt.Errorf("keep the data key: %w", err)
	}
	k.era, k.data, k.keys, k.eng = e, data, keys, sealed.New(k.inner, keys)
	return nil
}

// writeFirst writes the header and the key for lease names.
func (k *Keystore) writeFirst(ctx context.Context, h *header) error {
	nameKey := randomKey()
	defer nameKey.Wipe()
	if err := k.setNames(nameKey); err != nil {
		return err
	}
	return k.eng.Update(ctx, func(tx store.WTx) error {
		_, err := tx.GetForUpdate(plainTable(), headerKey())
		if !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, existsError(err == nil))
		}
		if err := tx.Put(plainTable(), store.Record{Key: headerKey(), Value: h.encode()}); err != nil {
			return err
		}
		return nameKey.Use(func(b []byte) error {
			return tx.Put(k.physical(innerTable()), store.Record{Key: store.Key{partNames}, Value: b})
		})
	})
}

// load reads the key for lease names and the list of tables.
func (k *Keystore) load(ctx context.Context) error {
	err := k.eng.View(ctx, func(tx store.Tx) error {
		r, err := tx.Get(k.physical(innerTable()), store.Key{partNames})
		if err != nil {
			return fmt.Errorf("read the key for names: %w", err)
		}
		nameKey := secret.New(r.Value)
		defer nameKey.Wipe()
		return k.setNames(nameKey)
	})
	if err != nil {
		return err
	}
	tables, err := k.allTables(ctx)
	for _, t := range tables {
		k.tables[t.Name] = t
	}
	return err
}

func (k *Keystore) setNames(nameKey secret.Text) error {
	sealed, err := k.vault.Seal(nameKey)
	if err != nil {
		return fmt.Errorf("keep the key for names: %w", err)
	}
	names, err := k.vault.Sealer(nameKey)
	if err != nil {
		return fmt.Errorf("keep the key for names: %w", err)
	}
	k.nameKey, k.names = sealed, names
	return nil
}

// Drop wipes the keys from memory, those that Lock has put away too: every later call fails. It does not close the
// engine.
func (k *Keystore) Drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropKeys()
	k.parked = vault.PasswordSealed{}
}

// dropKeys leaves nothing open. k.mu is held.
func (k *Keystore) dropKeys() {
	for _, keys := range []*vault.Keys{k.keys, k.names} {
		if keys != nil {
			keys.Drop()
		}
	}
	k.data, k.nameKey = vault.Sealed{}, vault.Sealed{}
}

// dataKey returns a copy; the caller wipes it. k.mu is held.
func (k *Keystore) dataKey() (secret.Text, error) {
	if k.data.Empty() {
		return secret.Text{}, vault.ErrLocked
	}
	return k.vault.Open(k.data)
}

func readRaw(ctx context.Context, eng store.Engine) ([]byte, error) {
	var b []byte
	err := eng.View(ctx, func(tx store.Tx) error {
		r, err := tx.Get(plainTable(), headerKey())
		b = r.Value
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoHeader
	}
	if err != nil {
		return nil, fmt.Errorf("read keystore header: %w", err)
	}
	return b, nil
}

func readHeader(ctx context.Context, eng store.Engine) (*header, error) {
	b, err := readRaw(ctx, eng)
	if err != nil {
		return nil, err
	}
	return parseHeader(b)
}
