package keystore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

// engine is what roles work with. Each transaction makes sure that the data key is still the keystore's, so that a
// process that missed a Rekey cannot write records that nobody can open.
type engine struct{ k *Keystore }

var (
	_ store.Engine   = engine{}
	_ store.Reserver = engine{}
)

// errUnlisted rolls back an Update that wrote to a table for the first time. The table is listed in an Update of its
// own, so that it takes nothing from the caller's limit of writes, and then fn runs again.
var errUnlisted = errors.New("table is not listed yet")

// Engine returns the sealed store. Closing it closes the store below and drops the keys.
func (k *Keystore) Engine() store.Engine { return engine{k} }

// View runs fn on a snapshot of opened records. ErrRekeyed after another process changed the data key.
func (e engine) View(ctx context.Context, fn func(store.Tx) error) error {
	e.k.mu.RLock()
	defer e.k.mu.RUnlock()
	return e.k.eng.View(ctx, func(tx store.Tx) error {
		if err := e.k.checkEra(tx); err != nil {
			return err
		}
		return fn(readTx{Tx: tx, k: e.k})
	})
}

// Update runs fn and seals what it puts. It waits while another process changes the data key, and fails with ErrRekeyed
// when that is done, with ErrBusy when it takes too long.
func (e engine) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	e.k.mu.RLock()
	defer e.k.mu.RUnlock()
	below := make([]store.Lease, len(held))
	for i, l := range held {
		below[i] = l
		if own, ok := l.(*lease); ok {
			below[i] = own.Lease
		}
	}
	return e.k.patiently(ctx, func() error {
		for {
			unlisted, err := e.update(ctx, fn, below)
			if unlisted.Name == "" {
				return err
			}
			if err := e.k.list(ctx, unlisted); err != nil {
				return err
			}
		}
	})
}

// update is one try. It returns a table that has to be listed first, if there is one.
func (e engine) update(ctx context.Context, fn func(store.WTx) error, held []store.Lease) (store.Table, error) {
	var unlisted store.Table
	err := e.k.eng.Update(ctx, func(tx store.WTx) error {
		unlisted = store.Table{}
		if err := e.k.checkWritable(tx); err != nil {
			return err
		}
		err := fn(&writeTx{readTx: readTx{Tx: tx, k: e.k}, w: tx, unlisted: &unlisted})
		if err == nil && unlisted.Name != "" {
			return errUnlisted
		}
		return err
	}, held...)
	if !errors.Is(err, errUnlisted) {
		return store.Table{}, err
	}
	return unlisted, nil
}

// Lease hides the name under a key that stays the same over a Rekey, so that a lease taken before excludes those after.
func (e engine) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckLeaseName(name); err != nil {
		return nil, err
	}
	e.k.mu.RLock()
	names := e.k.names // Unlock replaces it
	e.k.mu.RUnlock()
	hash, err := names.HashPart("lease", name)
	if errors.Is(err, vault.ErrLocked) && e.k.closed.Load() {
		return nil, store.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("hide name of lease: %w", err)
	}
	l, err := e.k.inner.Lease(ctx, hex.EncodeToString(hash), ttl)
	if err != nil {
		return nil, err
	}
	return &lease{Lease: l, name: name}, nil
}

type lease struct {
	store.Lease
	name string
}

func (l *lease) Name() string { return l.name }

// Reserve passes the question on, to engines that can answer it.
func (e engine) Reserve(ctx context.Context, n int) error {
	e.k.mu.RLock()
	defer e.k.mu.RUnlock()
	r, ok := e.k.eng.(store.Reserver)
	if !ok {
		return nil
	}
	return r.Reserve(ctx, n)
}

// Close drops the keys and closes the store.
func (e engine) Close() error {
	e.k.closed.Store(true)
	e.k.Drop()
	return e.k.inner.Close()
}

func (k *Keystore) checkEra(tx store.Tx) error {
	r, err := tx.Get(plainTable(), headerKey())
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoHeader
	}
	if err != nil {
		return fmt.Errorf("read keystore header: %w", err)
	}
	now, _, err := parsePrefix(r.Value)
	if err == nil && now != k.era {
		err = ErrRekeyed
	}
	return err
}

func (k *Keystore) checkWritable(tx store.Tx) error {
	if err := k.checkEra(tx); err != nil {
		return err
	}
	switch _, err := tx.Get(plainTable(), store.Key{partRekey}); {
	case err == nil:
		return ErrBusy
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("look for a running rekey: %w", err)
	}
	return nil
}

// list remembers a table. Doing it twice is no harm.
func (k *Keystore) list(ctx context.Context, t store.Table) error {
	err := k.eng.Update(ctx, func(tx store.WTx) error {
		if err := k.checkWritable(tx); err != nil {
			return err
		}
		return tx.Put(k.physical(innerTable()), tableRecord(t))
	})
	if err != nil {
		return fmt.Errorf("list table %q: %w", t.Name, err)
	}
	k.tablesMu.Lock()
	defer k.tablesMu.Unlock()
	k.tables[t.Name] = store.Table{Name: t.Name, HideKeys: t.HideKeys}
	return nil
}

func (k *Keystore) listed(t store.Table) bool {
	k.tablesMu.Lock()
	defer k.tablesMu.Unlock()
	_, ok := k.tables[t.Name]
	return ok || t.Plain
}

type readTx struct {
	store.Tx
	k *Keystore
}

func (t readTx) Get(tab store.Table, key store.Key) (store.Record, error) {
	return t.get(t.Tx.Get, tab, key)
}

func (t readTx) get(
	get func(store.Table, store.Key) (store.Record, error), tab store.Table, key store.Key,
) (store.Record, error) {
	place, err := t.k.place(tab)
	if err != nil {
		return store.Record{}, err
	}
	return get(place, key)
}

func (t readTx) Scan(tab store.Table, prefix store.Key) iter.Seq2[store.Record, error] {
	place, err := t.k.place(tab)
	if err != nil {
		return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
	}
	return t.Tx.Scan(place, prefix)
}

type writeTx struct {
	readTx
	w        store.WTx
	unlisted *store.Table
}

func (t *writeTx) GetForUpdate(tab store.Table, key store.Key) (store.Record, error) {
	return t.get(t.w.GetForUpdate, tab, key)
}

func (t *writeTx) Put(tab store.Table, r store.Record) error {
	place, err := t.k.place(tab)
	if err != nil {
		return err
	}
	if !t.k.listed(tab) {
		*t.unlisted = tab
	}
	return t.w.Put(place, r)
}

func (t *writeTx) Delete(tab store.Table, key store.Key) error {
	place, err := t.k.place(tab)
	if err != nil {
		return err
	}
	return t.w.Delete(place, key)
}
