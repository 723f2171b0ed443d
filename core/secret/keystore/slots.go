package keystore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Slots lists the key slots.
func (k *Keystore) Slots(ctx context.Context) ([]Slot, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	h, err := k.verified(ctx)
	if err != nil {
		return nil, err
	}
	return h.describe(), nil
}

// AddSlot adds a way to open the keystore. The data is not touched.
func (k *Keystore) AddSlot(ctx context.Context, n NewSlot) (Slot, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	h, err := k.verified(ctx)
	if err != nil {
		return Slot{}, err
	}
	if len(h.slots) >= MaxSlots {
		return Slot{}, ErrTooManySlots
	}
	dataKey, err := k.dataKey()
	if err != nil {
		return Slot{}, err
	}
	defer dataKey.Wipe()
	made, err := makeSlot(ctx, h, n, k.now())
	if err != nil {
		return Slot{}, err
	}
	defer made.kek.Wipe()
	err = h.wrap(&made.slot, made.kek, dataKey)
	if err == nil {
		err = k.change(ctx, dataKey, func(h *header) error {
			if len(h.slots) >= MaxSlots {
				return ErrTooManySlots
			}
			h.slots = append(h.slots, made.slot)
			return nil
		})
	}
	if err != nil {
		made.takeBack(err)
		return Slot{}, fmt.Errorf("add key slot: %w", err)
	}
	return made.slot.describe(), nil
}

// RemoveSlot removes the slot with this id. ErrLastSlot for the only one, ErrNoSlot for one that is not there. Whoever
// has an older copy of the file can still open that copy: only Rekey makes the old key useless for new data.
func (k *Keystore) RemoveSlot(ctx context.Context, id string) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	dataKey, err := k.dataKey()
	if err != nil {
		return err
	}
	defer dataKey.Wipe()
	var gone Slot
	err = k.change(ctx, dataKey, func(h *header) error {
		at := slices.IndexFunc(h.slots, func(s slot) bool { return hex.EncodeToString(s.id[:]) == id })
		if at < 0 {
			return fmt.Errorf("%w: %q", ErrNoSlot, id)
		}
		if len(h.slots) == 1 {
			return ErrLastSlot
		}
		gone = h.slots[at].describe()
		h.slots = slices.Delete(h.slots, at, at+1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove key slot: %w", err)
	}
	if gone.Kind == KindKeyring {
		// The slot is gone, so the entry opens nothing any more; that it stays in a keyring out of reach is no failure.
		_ = removeKeyringEntry(ctx, gone.Service, gone.User)
	}
	return nil
}

// change edits the header in one Update. edit may run more than once.
func (k *Keystore) change(ctx context.Context, dataKey secret.Text, edit func(*header) error) error {
	return k.patiently(ctx, func() error { return k.changeOnce(ctx, dataKey, edit) })
}

func (k *Keystore) changeOnce(ctx context.Context, dataKey secret.Text, edit func(*header) error) error {
	return k.inner.Update(ctx, func(tx store.WTx) error {
		if err := k.checkWritable(tx); err != nil {
			return err
		}
		r, err := tx.GetForUpdate(plainTable(), headerKey())
		if err != nil {
			return err
		}
		h, err := parseHeader(r.Value)
		if err != nil {
			return err
		}
		if err := h.verify(dataKey); err != nil {
			return err
		}
		if err := edit(h); err != nil {
			return err
		}
		return putHeader(tx, h, dataKey)
	})
}

func putHeader(tx store.WTx, h *header, dataKey secret.Text) error {
	if err := h.check(); err != nil {
		return err
	}
	if err := h.sign(dataKey); err != nil {
		return err
	}
	return tx.Put(plainTable(), store.Record{Key: headerKey(), Value: h.encode()})
}

// verified reads the header and checks it against the data key. k.mu is held.
func (k *Keystore) verified(ctx context.Context) (*header, error) {
	h, err := readHeader(ctx, k.inner)
	if err != nil {
		return nil, err
	}
	if h.era() != k.era {
		return nil, ErrRekeyed
	}
	dataKey, err := k.dataKey()
	if err != nil {
		return nil, err
	}
	defer dataKey.Wipe()
	return h, h.verify(dataKey)
}

// Check opens every record and returns how many there are, its own not counted. The error joins what
// was found in each table.
func (k *Keystore) Check(ctx context.Context) (records int, err error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if _, err := k.verified(ctx); err != nil {
		return 0, err
	}
	tables, err := k.allTables(ctx)
	if err != nil {
		return 0, err
	}
	var faults []error
	for _, t := range tables {
		err := k.eng.View(ctx, func(tx store.Tx) error {
			for r, err := range tx.Scan(k.physical(t), nil) {
				if err != nil {
					// The scan ends at the first record that does not open.
					return err
				}
				clear(r.Value)
				if t != innerTable() {
					records++
				}
			}
			return nil
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("table %s: %w", t.Name, err))
		}
	}
	return records, errors.Join(faults...)
}
