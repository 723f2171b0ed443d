package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/oidcbox/oidcbox/store"
)

// tx is both kinds of transaction. Writes are gathered in changes and reach bbolt when the caller's function has
// returned nil, so that a refused update leaves nothing to undo for those that share its commit.
type tx struct {
	file    *file
	bolt    *bolt.Tx
	now     time.Time
	changes *changes // nil in a View
	writes  int
	ended   bool
}

func (t *tx) rollback() {
	t.ended = true
	_ = t.file.guard("end a transaction", t.bolt.Rollback)
	t.file.release()
}

func (t *tx) alive() error {
	if t.ended {
		return fmt.Errorf("transaction has ended: %w", store.ErrClosed)
	}
	return nil
}

func (t *tx) Get(tab store.Table, key store.Key) (store.Record, error) {
	if err := t.alive(); err != nil {
		return store.Record{}, err
	}
	k, err := store.CheckKey(tab, key)
	if err != nil {
		return store.Record{}, err
	}
	raw, err := t.get(tablePrefix+tab.Name, k)
	if err != nil {
		return store.Record{}, err
	}
	if raw == nil {
		return store.Record{}, store.ErrNotFound
	}
	r, expired, err := t.decode(k, raw)
	if err == nil && expired {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// GetForUpdate is Get: there is one writer at a time.
func (t *tx) GetForUpdate(tab store.Table, key store.Key) (store.Record, error) {
	return t.Get(tab, key)
}

// get returns a copy of what a bucket keeps under key, nil when there is nothing.
func (t *tx) get(bucket string, key []byte) (raw []byte, err error) {
	if raw, ok := t.changes.get(bucket, key); ok {
		return raw, nil
	}
	err = t.file.guard("read a record", func() error {
		if b := t.bolt.Bucket([]byte(bucket)); b != nil {
			raw = bytes.Clone(b.Get(key))
		}
		return nil
	})
	return raw, err
}

func (t *tx) Scan(tab store.Table, prefix store.Key) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		p, err := store.CheckPrefix(tab, prefix)
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		for e, err := range t.scan(tablePrefix+tab.Name, p) {
			var r store.Record
			expired := false
			if err == nil {
				r, expired, err = t.decode(e.key, e.raw)
			}
			if expired {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// entry is one row as the file keeps it.
type entry struct {
	key, raw []byte
}

// scan yields copies of the rows of a bucket below prefix, with the changes of this transaction.
func (t *tx) scan(bucket string, prefix []byte) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		own := t.changes.below(bucket, prefix)
		c := cursor{tx: t, bucket: bucket, prefix: prefix}
		next, err := c.next()
		for {
			if err != nil {
				yield(entry{}, err)
				return
			}
			e := next
			order := 1
			switch {
			case len(own) == 0 && next.key == nil:
				return
			case len(own) == 0:
				order = -1
			case next.key != nil:
				order = bytes.Compare(next.key, own[0].key)
			}
			if order >= 0 {
				e, own = own[0], own[1:]
			}
			if order <= 0 {
				next, err = c.next()
			}
			if e.raw != nil && !yield(e, nil) {
				return
			}
		}
	}
}

// cursor reads a bucket row by row, each in a guard of its own, since the caller's code runs in between.
type cursor struct {
	tx     *tx
	bucket string
	prefix []byte
	c      *bolt.Cursor
	begun  bool
}

// next returns a copy of the next row, or a nil key at the end.
func (c *cursor) next() (e entry, err error) {
	if err := c.tx.alive(); err != nil {
		return entry{}, err
	}
	err = c.tx.file.guard("scan a table", func() error {
		var k, v []byte
		switch {
		case !c.begun:
			c.begun = true
			b := c.tx.bolt.Bucket([]byte(c.bucket))
			if b == nil {
				return nil
			}
			c.c = b.Cursor()
			k, v = c.c.Seek(c.prefix)
		case c.c != nil:
			k, v = c.c.Next()
		}
		if k != nil && bytes.HasPrefix(k, c.prefix) {
			e = entry{key: bytes.Clone(k), raw: append([]byte{}, v...)}
		} else {
			c.c = nil
		}
		return nil
	})
	return e, err
}

func (t *tx) Put(tab store.Table, r store.Record) error {
	k, err := t.write(tab, r.Key)
	if err != nil {
		return err
	}
	if err := store.CheckValue(tab, r.Value); err != nil {
		return err
	}
	t.changes.set(tablePrefix+tab.Name, k, encode(r))
	return nil
}

func (t *tx) Delete(tab store.Table, key store.Key) error {
	k, err := t.write(tab, key)
	if err != nil {
		return err
	}
	t.changes.set(tablePrefix+tab.Name, k, nil)
	return nil
}

func (t *tx) write(tab store.Table, key store.Key) ([]byte, error) {
	if err := t.alive(); err != nil {
		return nil, err
	}
	k, err := store.CheckKey(tab, key)
	if err != nil {
		return nil, err
	}
	t.writes++
	if err := store.CheckWrites(t.writes); err != nil {
		return nil, err
	}
	return k, nil
}

// A record is kept as its expiry, eight bytes, and its value.
const expirySize = 8

func encode(r store.Record) []byte {
	raw := make([]byte, 0, expirySize+len(r.Value))
	raw = binary.BigEndian.AppendUint64(raw, uint64(store.Millis(r.Expires)))
	return append(raw, r.Value...)
}

// decode makes a record of bytes that are the caller's own.
func (t *tx) decode(key, raw []byte) (r store.Record, expired bool, err error) {
	if len(raw) < expirySize {
		return store.Record{}, false, corrupt("record of %d bytes", len(raw))
	}
	ms := int64(binary.BigEndian.Uint64(raw))
	if store.Expired(ms, t.now) {
		return store.Record{}, true, nil
	}
	parsed, err := store.ParseKey(key)
	if err != nil {
		return store.Record{}, false, corrupt("key of a record: %v", err)
	}
	return store.Record{Key: parsed, Value: raw[expirySize:], Expires: store.FromMillis(ms)}, false, nil
}
