// Package store defines how records are kept: named tables of small records, changed in transactions.
//
// It holds the interface, its contract and its errors. Engines live beside it (boltstore, memstore, pgstore),
// store/sealed wraps an engine so that it never sees plaintext, and store/storetest is the suite every engine passes.
// The package knows nothing of tokens or logins: the shape of what is kept belongs to core.
//
// # Contract
//
// Every engine enforces the same limits, so that a test on one finds what would break on another:
//
//   - a key has one to [MaxParts] parts and at most [MaxKey] bytes encoded, a value at most [MaxValue] bytes, an Update
//     makes at most [MaxWrites] calls of Put and Delete;
//   - slices handed out are copies: the caller may keep and change them;
//   - transactions do not nest, and fn does no I/O and has no effects outside its transaction, because Update may run
//     it more than once;
//   - a reader never sees an expired record: expiry is judged against the time the transaction began;
//   - when Update returns nil, the change is durable (memstore excepted). When it returns an error, nothing was
//     changed, unless the error is [ErrUnknown].
//
// Not a public API.
package store

import (
	"context"
	"iter"
	"time"
)

// Table names a table and says how store/sealed treats it.
type Table struct {
	Name string
	// HideKeys replaces each key part by a keyed hash in the engine, for parts that reveal something (names, issuers,
	// subjects). Scan by leading parts goes on working; the order of a Scan is then that of the hashes.
	HideKeys bool
	// Plain leaves values unsealed. Only for what must be read before the keystore is unlocked (its own header).
	Plain bool
	// Sealed is set by store/sealed alone on its way to the engine: the key is hashed and the value encrypted, and
	// both may be longer by MaxSealing.
	Sealed bool
}

// Key is a list of parts. Parts may hold any bytes; a prefix matches whole parts only.
type Key []string

// Record is one row.
type Record struct {
	Key     Key
	Value   []byte
	Expires time.Time // zero: never. Kept with a resolution of one millisecond.
}

// Engine keeps records. All methods are safe for concurrent use.
type Engine interface {
	// View runs fn on a consistent snapshot and returns fn's error. Long scans belong here.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn atomically; fn may run more than once. An error of fn rolls back and is returned as it is.
	// Each of held is a lease the change depends on: Update fails with ErrFenced, changing nothing, when one of them
	// is no longer held. ErrConflict after the engine's own retries means: try the whole request again.
	Update(ctx context.Context, fn func(WTx) error, held ...Lease) error
	// Lease waits until it is the only holder of name across all processes on this store, or until ctx is done. The
	// holder loses it when ttl passes without Renew.
	Lease(ctx context.Context, name string, ttl time.Duration) (Lease, error)
	// Close releases the file or connection. Calls after it fail with ErrClosed.
	Close() error
}

// Tx reads. It is valid only inside fn.
type Tx interface {
	// Get returns the record, or ErrNotFound.
	Get(t Table, key Key) (Record, error)
	// Scan yields the records whose keys begin with prefix, in key order. It must not be mixed with writes to the
	// same table in one transaction.
	Scan(t Table, prefix Key) iter.Seq2[Record, error]
}

// WTx reads and writes.
type WTx interface {
	Tx
	// GetForUpdate is Get that also keeps others from changing the row, even an absent one, until the end.
	GetForUpdate(t Table, key Key) (Record, error)
	Put(t Table, r Record) error
	// Delete removes a record; that it is absent is not an error.
	Delete(t Table, key Key) error
}

// Lease is held by one process at a time.
type Lease interface {
	Name() string
	// Fence grows with every new holder of the name.
	Fence() uint64
	// Renew extends it to ttl from now, or fails with ErrFenced.
	Renew(ctx context.Context, ttl time.Duration) error
	// Release gives it back. It is safe after the lease was lost.
	Release(ctx context.Context) error
}

// Reserver is implemented by engines that can find out early that there is no room. After Reserve returned nil the
// next Update of at most n value bytes will not fail for lack of space or quota. Others succeed without a promise.
type Reserver interface {
	Reserve(ctx context.Context, n int) error
}

// Sealer encrypts values and hides key parts. It is handed to store/sealed by whoever owns the keys.
type Sealer interface {
	// Seal returns plaintext encrypted and bound to ad.
	Seal(plaintext, ad []byte) ([]byte, error)
	// Open reverses Seal, or fails with an error that wraps ErrSealed.
	Open(ciphertext, ad []byte) ([]byte, error)
	// HashPart maps a key part of a table to a fixed 16 bytes that nobody without the keys can compute.
	HashPart(table, part string) ([]byte, error)
}
