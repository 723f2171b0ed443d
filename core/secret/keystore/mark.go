package keystore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// markTTL is how long a mark outlives a process that was killed in the middle of a Rekey. Every batch renews it. Others
// wait that long and a little longer.
const markTTL = 15 * time.Second

// marker holds the mark that keeps every other writer out. Each of its Updates checks and renews it. While there is a
// mark, the header names an epoch whose tables are to be cleared should the holder die.
type marker struct {
	k     *Keystore
	owner string
	done  bool // finish has taken the mark away
}

// begin sets the mark, or fails with ErrBusy: also when the header is no longer h. k.mu is held for writing, or k is
// not shared yet.
func (k *Keystore) begin(ctx context.Context, h *header) (*marker, error) {
	dataKey, err := k.dataKey()
	if err != nil {
		return nil, err
	}
	defer dataKey.Wipe()
	m := &marker{k: k, owner: rand.Text()}
	err = k.inner.Update(ctx, func(tx store.WTx) error {
		if err := k.checkWritable(tx); err != nil {
			return err
		}
		r, err := tx.GetForUpdate(plainTable(), headerKey())
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Value, h.encode()) {
			return ErrBusy
		}
		if err := m.put(tx); err != nil || h.stale != 0 {
			return err
		}
		marked := *h
		marked.stale = h.epoch + 1
		return putHeader(tx, &marked, dataKey)
	})
	return m, err
}

func (m *marker) put(tx store.WTx) error {
	return tx.Put(plainTable(), store.Record{
		Key: store.Key{partRekey}, Value: []byte(m.owner), Expires: m.k.now().Add(markTTL),
	})
}

// update runs fn on eng while the mark is ours.
func (m *marker) update(ctx context.Context, eng store.Engine, fn func(store.WTx) error) error {
	return eng.Update(ctx, func(tx store.WTx) error {
		r, err := tx.GetForUpdate(plainTable(), store.Key{partRekey})
		if errors.Is(err, store.ErrNotFound) || err == nil && string(r.Value) != m.owner {
			return fmt.Errorf("took too long: %w", ErrBusy)
		}
		if err != nil {
			return err
		}
		if err := m.put(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// release removes the mark also when ctx is done; if that fails, it expires.
func (m *marker) release(ctx context.Context) {
	if m.done {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = m.update(ctx, m.k.inner, func(tx store.WTx) error {
		return tx.Delete(plainTable(), store.Key{partRekey})
	})
}

// editHeader changes the header under the present data key.
func (m *marker) editHeader(ctx context.Context, edit func(*header)) error {
	dataKey, err := m.k.dataKey()
	if err != nil {
		return err
	}
	defer dataKey.Wipe()
	return m.update(ctx, m.k.inner, func(tx store.WTx) error { return editIn(tx, dataKey, edit) })
}

func editIn(tx store.WTx, dataKey secret.Text, edit func(*header)) error {
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
	edit(h)
	return putHeader(tx, h, dataKey)
}

// finish clears what is left of an epoch and takes the mark away.
func (m *marker) finish(ctx context.Context, epoch uint32) error {
	if err := m.clearTables(ctx, epoch); err != nil {
		return err
	}
	dataKey, err := m.k.dataKey()
	if err != nil {
		return err
	}
	defer dataKey.Wipe()
	err = m.update(ctx, m.k.inner, func(tx store.WTx) error {
		if err := editIn(tx, dataKey, func(h *header) { h.stale = 0 }); err != nil {
			return err
		}
		return tx.Delete(plainTable(), store.Key{partRekey})
	})
	m.done = err == nil
	return err
}

// clearStale removes what a killed Rekey has left over, once its mark has expired. ErrRekeyed when a Rekey was running
// after all.
func (k *Keystore) clearStale(ctx context.Context) error {
	return k.patiently(ctx, func() error {
		h, err := k.verified(ctx)
		if err != nil || h.stale == 0 {
			return err
		}
		m, err := k.begin(ctx, h)
		if err != nil {
			return err
		}
		defer m.release(ctx)
		return m.finish(ctx, h.stale)
	})
}

// patiently repeats fn while it fails with ErrBusy, for as long as the mark of a dead process can last.
func (k *Keystore) patiently(ctx context.Context, fn func() error) error {
	const pause = 200 * time.Millisecond
	for tries := k.patience / pause; ; tries-- {
		err := fn()
		if !errors.Is(err, ErrBusy) || tries <= 0 {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
	}
}
