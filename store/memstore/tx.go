package memstore

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// table holds its rows in the order of their encoded keys.
type table []row

type row struct {
	key    []byte
	value  []byte
	until  int64 // store.Millis
	parsed store.Key
}

func (t table) find(key []byte) (int, bool) {
	i := sort.Search(len(t), func(i int) bool { return bytes.Compare(t[i].key, key) >= 0 })
	return i, i < len(t) && bytes.Equal(t[i].key, key)
}

// tx is both kinds of transaction: own is nil in a View.
type tx struct {
	state  state
	now    time.Time
	own    map[string]bool // tables that were copied and may be changed
	writes int
	ended  bool
}

func (t *tx) end() { t.ended = true }

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
	b, err := store.CheckKey(tab, key)
	if err != nil {
		return store.Record{}, err
	}
	rows := t.state.tables[tab.Name]
	i, ok := rows.find(b)
	if !ok || store.Expired(rows[i].until, t.now) {
		return store.Record{}, store.ErrNotFound
	}
	return rows[i].record(), nil
}

func (t *tx) GetForUpdate(tab store.Table, key store.Key) (store.Record, error) {
	return t.Get(tab, key)
}

func (t *tx) Scan(tab store.Table, prefix store.Key) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		p, err := store.CheckPrefix(tab, prefix)
		if err == nil {
			err = t.alive()
		}
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		rows := t.state.tables[tab.Name]
		for i, _ := rows.find(p); i < len(rows) && bytes.HasPrefix(rows[i].key, p); i++ {
			if store.Expired(rows[i].until, t.now) {
				continue
			}
			if !yield(rows[i].record(), nil) {
				return
			}
		}
	}
}

func (t *tx) Put(tab store.Table, r store.Record) error {
	key, err := t.write(tab, r.Key)
	if err != nil {
		return err
	}
	if err := store.CheckValue(tab, r.Value); err != nil {
		return err
	}
	rows := t.writable(tab.Name)
	n := row{key: key, value: bytes.Clone(r.Value), until: store.Millis(r.Expires), parsed: slices.Clone(r.Key)}
	i, ok := rows.find(key)
	if ok {
		rows[i] = n
		return nil
	}
	t.state.tables[tab.Name] = slices.Insert(rows, i, n)
	return nil
}

func (t *tx) Delete(tab store.Table, key store.Key) error {
	b, err := t.write(tab, key)
	if err != nil {
		return err
	}
	rows := t.writable(tab.Name)
	if i, ok := rows.find(b); ok {
		t.state.tables[tab.Name] = slices.Delete(rows, i, i+1)
	}
	return nil
}

func (t *tx) write(tab store.Table, key store.Key) ([]byte, error) {
	if err := t.alive(); err != nil {
		return nil, err
	}
	b, err := store.CheckKey(tab, key)
	if err != nil {
		return nil, err
	}
	t.writes++
	if err := store.CheckWrites(t.writes); err != nil {
		return nil, err
	}
	return b, nil
}

// writable returns the rows of a table that no snapshot shares. The copy leaves out what has expired.
func (t *tx) writable(name string) table {
	if !t.own[name] {
		if len(t.own) == 0 {
			t.state.tables = maps.Clone(t.state.tables)
		}
		expired := func(r row) bool { return store.Expired(r.until, t.now) }
		t.state.tables[name] = slices.DeleteFunc(slices.Clone(t.state.tables[name]), expired)
		t.own[name] = true
	}
	return t.state.tables[name]
}

func (r row) record() store.Record {
	value := bytes.Clone(r.value)
	if value == nil {
		value = []byte{}
	}
	return store.Record{Key: slices.Clone(r.parsed), Value: value, Expires: store.FromMillis(r.until)}
}
