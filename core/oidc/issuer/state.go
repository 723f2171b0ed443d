package issuer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// The tables of the issuer. Codes, cookies and tokens are keys only as hashes (digest), so the store never holds one
// that could be used.
func codeTable() store.Table    { return store.Table{Name: "issuer.codes"} }
func grantTable() store.Table   { return store.Table{Name: "issuer.grants"} }
func deviceTable() store.Table  { return store.Table{Name: "issuer.devices"} }
func userTable() store.Table    { return store.Table{Name: "issuer.usercodes"} }
func sessionTable() store.Table { return store.Table{Name: "issuer.sessions"} }
func clientTable() store.Table  { return store.Table{Name: "issuer.clients", HideKeys: true} }
func deniedTable() store.Table  { return store.Table{Name: "issuer.denied"} }
func keyTable() store.Table     { return store.Table{Name: "issuer.keys"} }

// digest names a secret with high entropy in a key.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// random returns n random bytes as base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// load reads a row; absent is false and no error.
func load[T any](tx store.Tx, t store.Table, key string) (v T, ok bool, err error) {
	rec, err := tx.Get(t, store.Key{key})
	return decode[T](t, rec, err)
}

// loadForUpdate is load that keeps the row from changing until the end of the transaction.
func loadForUpdate[T any](tx store.WTx, t store.Table, key string) (v T, ok bool, err error) {
	rec, err := tx.GetForUpdate(t, store.Key{key})
	return decode[T](t, rec, err)
}

func decode[T any](t store.Table, rec store.Record, err error) (v T, ok bool, _ error) {
	// A stranger's key that is too long for the store names no row either.
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrTooLarge) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("read %s: %w", t.Name, err)
	}
	if err := json.Unmarshal(rec.Value, &v); err != nil {
		return v, false, fmt.Errorf("decode a row of %s: %w", t.Name, err)
	}
	return v, true, nil
}

// slot is where a row goes, and until when it is kept (zero: for ever).
type slot struct {
	table store.Table
	key   string
	until time.Time
}

// save writes a row. Whether it still counts is judged by the times inside it, against the issuer's own clock: until
// only says when it may be forgotten.
func save(tx store.WTx, s slot, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", s.table.Name, err)
	}
	if err := tx.Put(s.table, store.Record{Key: store.Key{s.key}, Value: b, Expires: s.until}); err != nil {
		return fmt.Errorf("write %s: %w", s.table.Name, err)
	}
	return nil
}

// find is load in a View of its own.
func find[T any](ctx context.Context, i *Issuer, t store.Table, key string) (v T, ok bool, err error) {
	err = i.o.Engine.View(ctx, func(tx store.Tx) error {
		v, ok, err = load[T](tx, t, key)
		return err
	})
	return v, ok, err
}

// room bounds the number of rows that strangers can make. It counts on its own between two counts of the table, so that
// making a row does not cost a scan.
type room struct {
	mu      sync.Mutex
	table   store.Table
	most    int
	known   bool
	n       int
	counted time.Time
}

// take fails with errFull when the table has no room. The count runs ahead of the table (rows that expired are noticed
// at the next count), so what is refused may have fitted a second later; more than most are never let in.
func (r *room) take(ctx context.Context, i *Issuer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := i.o.Now()
	if !r.known || r.n >= r.most && now.Sub(r.counted) >= time.Second {
		n, err := countRows(ctx, i.o.Engine, r.table)
		if err != nil {
			return err
		}
		r.n, r.counted, r.known = n, now, true
	}
	if r.n >= r.most {
		return errFull()
	}
	r.n++
	return nil
}

// give takes back a take whose row was not made.
func (r *room) give() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = max(0, r.n-1)
}

func countRows(ctx context.Context, eng store.Engine, t store.Table) (int, error) {
	n := 0
	err := eng.View(ctx, func(tx store.Tx) error {
		n = 0
		for _, err := range tx.Scan(t, nil) {
			if err != nil {
				return fmt.Errorf("count %s: %w", t.Name, err)
			}
			n++
		}
		return nil
	})
	return n, err
}
