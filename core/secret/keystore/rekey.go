package keystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// batch leaves room for the mark within store.MaxWrites, and bounds the plaintext in memory to 2 MiB.
const batch = 32

// RekeyOptions says what becomes of the slots. A slot can only be carried over by its credential, because the new data
// key has to be wrapped by it: a keystore that kept the wrapping keys would let everybody in who had the old data key.
type RekeyOptions struct {
	Keep       []Credential
	DropOthers bool // remove the slots that no credential of Keep opens, instead of failing with ErrSlotsUncovered
}

// Rekey makes a new data key and seals everything again under it.
//
// The new records are written beside the old ones, into tables that carry the number of the new data key, and one
// Update of the header then makes them the true ones. A process that is killed before leaves the old state, one that
// is killed after it the new state; what is left over is cleared by the next Open. Meanwhile other transactions of
// this process wait; those of other processes wait too, and then fail with ErrRekeyed, so they should be ended before.
func (k *Keystore) Rekey(ctx context.Context, o RekeyOptions) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.rekey(ctx, o); err != nil {
		return fmt.Errorf("give the keystore a new data key: %w", err)
	}
	return nil
}

func (k *Keystore) rekey(ctx context.Context, o RekeyOptions) error {
	h, err := k.verified(ctx)
	if err != nil {
		return err
	}
	newKey := randomKey()
	defer newKey.Wipe()
	// Before the mark, because it may take long: key derivations, a keyring that asks the person.
	next, err := successor(ctx, h, newKey, o)
	if err != nil {
		return err
	}
	m, err := k.begin(ctx, h)
	if err != nil {
		return err
	}
	defer m.release(ctx)
	if h.stale != 0 {
		if err := m.clearTables(ctx, h.stale); err != nil {
			return err
		}
		if err := m.editHeader(ctx, func(h *header) { h.stale = next.epoch }); err != nil {
			return err
		}
	}
	keys, err := k.vault.Sealer(newKey)
	if err != nil {
		return err
	}
	defer keys.Drop()
	if err := m.copyAll(ctx, sealed.New(k.inner, keys), next.epoch); err != nil {
		return err
	}
	if err := m.commit(ctx, next, newKey); err != nil {
		return err
	}
	old := k.keys
	if err := k.unlock(next.era(), newKey); err != nil {
		return err
	}
	old.Drop()
	return m.finish(ctx, next.stale)
}

// successor is the header after the change: the slots that a credential opens, around the new key.
func successor(ctx context.Context, h *header, newKey secret.Text, o RekeyOptions) (*header, error) {
	next := &header{epoch: h.epoch + 1, stale: h.epoch, created: h.created}
	_, _ = rand.Read(next.id[:]) // never fails
	var lost []string
	for _, s := range h.slots {
		kek, ok := o.find(ctx, h, &s)
		if !ok {
			lost = append(lost, fmt.Sprintf("%x (%v)", s.id, s.kind))
			continue
		}
		err := next.wrap(&s, kek, newKey)
		kek.Wipe()
		if err != nil {
			return nil, err
		}
		next.slots = append(next.slots, s)
	}
	if len(lost) > 0 && (!o.DropOthers || len(next.slots) == 0) {
		return nil, fmt.Errorf("%w: %s", ErrSlotsUncovered, strings.Join(lost, ", "))
	}
	return next, next.sign(newKey)
}

// find returns the wrapping key of s if one of the credentials opens it.
func (o RekeyOptions) find(ctx context.Context, h *header, s *slot) (secret.Text, bool) {
	for _, c := range o.Keep {
		if !slices.Contains(c.kinds, s.kind) {
			continue
		}
		key, err := c.key(ctx, s.describe())
		if err != nil {
			continue
		}
		kek, err := s.kek(ctx, key)
		key.Wipe()
		if err != nil {
			continue
		}
		dataKey, err := h.unwrap(s, kek)
		dataKey.Wipe()
		if err == nil {
			return kek, true
		}
		kek.Wipe()
	}
	return secret.Text{}, false
}

// commit is the moment the new data key becomes the keystore's.
func (m *marker) commit(ctx context.Context, next *header, newKey secret.Text) error {
	return m.update(ctx, m.k.inner, func(tx store.WTx) error { return putHeader(tx, next, newKey) })
}

// copyAll seals every record again into the tables of another epoch.
func (m *marker) copyAll(ctx context.Context, to store.Engine, epoch uint32) error {
	tables, err := m.k.allTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := m.copyTable(ctx, t, to, epoch); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

func (m *marker) copyTable(ctx context.Context, t store.Table, to store.Engine, epoch uint32) error {
	keys, err := scanKeys(ctx, m.k.eng, m.k.physical(t))
	if err != nil {
		return err
	}
	for some := range slices.Chunk(keys, batch) {
		records, err := m.read(ctx, m.k.physical(t), some)
		if err != nil {
			return err
		}
		err = m.update(ctx, to, func(tx store.WTx) error {
			for _, r := range records {
				if err := tx.Put(physicalAt(t, epoch), r); err != nil {
					return err
				}
			}
			return nil
		})
		for _, r := range records {
			clear(r.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read fetches some records; one that has expired since it was listed is left out.
func (m *marker) read(ctx context.Context, t store.Table, keys []store.Key) ([]store.Record, error) {
	var records []store.Record
	err := m.k.eng.View(ctx, func(tx store.Tx) error {
		for _, key := range keys {
			r, err := tx.Get(t, key)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	return records, err
}

// clearTables deletes every row of an epoch. They need not open any more, so it works below the seal.
func (m *marker) clearTables(ctx context.Context, epoch uint32) error {
	tables, err := m.k.allTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		raw := physicalAt(t, epoch)
		raw.HideKeys, raw.Sealed = false, true
		if err := m.clearTable(ctx, raw); err != nil {
			return fmt.Errorf("clear table %s: %w", raw.Name, err)
		}
	}
	return nil
}

func (m *marker) clearTable(ctx context.Context, raw store.Table) error {
	keys, err := scanKeys(ctx, m.k.inner, raw)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(keys, batch) {
		err := m.update(ctx, m.k.inner, func(tx store.WTx) error {
			for _, key := range some {
				if err := tx.Delete(raw, key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// allTables is the inner table and every table that any process has ever written to. It reads the list anew.
func (k *Keystore) allTables(ctx context.Context) ([]store.Table, error) {
	all := []store.Table{innerTable()}
	err := k.eng.View(ctx, func(tx store.Tx) error {
		all = all[:1]
		for r, err := range tx.Scan(k.physical(innerTable()), store.Key{partTable}) {
			if err != nil {
				return fmt.Errorf("read the list of tables: %w", err)
			}
			t, err := parseTable(r)
			if err != nil {
				return err
			}
			all = append(all, t)
		}
		return nil
	})
	return all, err
}

func scanKeys(ctx context.Context, eng store.Engine, t store.Table) ([]store.Key, error) {
	var keys []store.Key
	err := eng.View(ctx, func(tx store.Tx) error {
		for r, err := range tx.Scan(t, nil) {
			if err != nil {
				return err
			}
			clear(r.Value)
			keys = append(keys, r.Key)
		}
		return nil
	})
	return keys, err
}
