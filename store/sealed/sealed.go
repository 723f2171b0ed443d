// Package sealed wraps an engine so that it keeps values encrypted and, in tables that ask for it, hashes instead of
// keys. Whoever has only the file learns which tables there are, how many rows they have, how long these are and when
// they expire.
//
// It holds no key and knows no cipher: a store.Sealer is handed in. Each value is bound to its table, its row and its
// expiry, so that a value moved to another row, a changed value and a changed expiry do not open (store.ErrSealed).
// Rows can still be deleted, or the whole file put back to an older state, by who can write the file.
//
// docs/formats/store.md gives the bytes. Not a public API.
package sealed

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// leaseTable is the table name under which names of leases are hashed; no real table can be called so.
const leaseTable = "\x00lease"

// Engine implements store.Engine and store.Reserver over another engine. Use New.
type Engine struct {
	inner  store.Engine
	sealer store.Sealer
}

// New wraps inner. Closing the result closes inner; the sealer stays its owner's.
func New(inner store.Engine, s store.Sealer) *Engine { return &Engine{inner: inner, sealer: s} }

// View runs fn on a snapshot of opened records.
func (e *Engine) View(ctx context.Context, fn func(store.Tx) error) error {
	return e.inner.View(ctx, func(t store.Tx) error { return fn(readTx{inner: t, sealer: e.sealer}) })
}

// Update runs fn and seals what it puts.
func (e *Engine) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	inner := make([]store.Lease, len(held))
	for i, l := range held {
		inner[i] = l
		if own, ok := l.(*lease); ok {
			inner[i] = own.Lease
		}
	}
	return e.inner.Update(ctx, func(t store.WTx) error {
		return fn(writeTx{readTx: readTx{inner: t, sealer: e.sealer}, inner: t})
	}, inner...)
}

// Lease takes the lease of the hashed name, since names of leases tell what they are for.
func (e *Engine) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckLeaseName(name); err != nil {
		return nil, err
	}
	hash, err := e.sealer.HashPart(leaseTable, name)
	if err != nil {
		return nil, fmt.Errorf("hide name of lease: %w", err)
	}
	l, err := e.inner.Lease(ctx, hex.EncodeToString(hash), ttl)
	if err != nil {
		return nil, err
	}
	return &lease{Lease: l, name: name}, nil
}

// Reserve asks the engine for room for n value bytes and what sealing adds to them.
func (e *Engine) Reserve(ctx context.Context, n int) error {
	r, ok := e.inner.(store.Reserver)
	if !ok {
		return nil
	}
	return r.Reserve(ctx, n+store.MaxSealing)
}

// Close closes the engine.
func (e *Engine) Close() error { return e.inner.Close() }

type lease struct {
	store.Lease
	name string
}

func (l *lease) Name() string { return l.name }
