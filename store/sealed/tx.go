package sealed

import (
	"iter"

	"github.com/oidcbox/oidcbox/store"
)

type readTx struct {
	inner  store.Tx
	sealer store.Sealer
}

func (t readTx) Get(tab store.Table, key store.Key) (store.Record, error) {
	return t.get(t.inner.Get, tab, key)
}

func (t readTx) get(
	get func(store.Table, store.Key) (store.Record, error), tab store.Table, key store.Key,
) (store.Record, error) {
	if tab.Plain {
		return get(asPlain(tab), key)
	}
	hidden, err := t.hide(tab, key)
	if err != nil {
		return store.Record{}, err
	}
	r, err := get(asSealed(tab), hidden)
	if err != nil {
		return store.Record{}, err
	}
	return t.open(tab, r, key)
}

func (t readTx) Scan(tab store.Table, prefix store.Key) iter.Seq2[store.Record, error] {
	if tab.Plain {
		return t.inner.Scan(asPlain(tab), prefix)
	}
	return func(yield func(store.Record, error) bool) {
		if _, err := store.CheckPrefix(tab, prefix); err != nil {
			yield(store.Record{}, err)
			return
		}
		hidden, err := t.hideParts(tab, prefix)
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		for r, err := range t.inner.Scan(asSealed(tab), hidden) {
			if err == nil {
				r, err = t.open(tab, r, nil)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

type writeTx struct {
	readTx
	inner store.WTx
}

func (t writeTx) GetForUpdate(tab store.Table, key store.Key) (store.Record, error) {
	return t.get(t.inner.GetForUpdate, tab, key)
}

func (t writeTx) Put(tab store.Table, r store.Record) error {
	if tab.Plain {
		return t.inner.Put(asPlain(tab), r)
	}
	s, err := t.seal(tab, r)
	if err != nil {
		return err
	}
	return t.inner.Put(asSealed(tab), s)
}

func (t writeTx) Delete(tab store.Table, key store.Key) error {
	if tab.Plain {
		return t.inner.Delete(asPlain(tab), key)
	}
	hidden, err := t.hide(tab, key)
	if err != nil {
		return err
	}
	return t.inner.Delete(asSealed(tab), hidden)
}

// asPlain keeps a caller from claiming the room that is kept for sealing.
func asPlain(tab store.Table) store.Table {
	tab.Sealed = false
	return tab
}

func asSealed(tab store.Table) store.Table {
	tab.Sealed = true
	return tab
}
