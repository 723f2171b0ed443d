package storetest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/store"
)

var limitFacts = []fact{
	{name: "value", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.put(tab, string(filled(store.MaxValue)), "k")
			h.want(tab, string(filled(store.MaxValue)), "k")
			h.wantPutError(tab, store.ErrTooLarge, filled(store.MaxValue+1), "other")
			h.wantAbsent(tab, "other")
		}
	}},
	{name: "key_bytes", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			long := strings.Repeat("k", store.MaxKey-1)
			h.put(tab, string(filled(store.MaxValue)), long)
			h.want(tab, string(filled(store.MaxValue)), long)
			nuls := strings.Repeat("\x00", (store.MaxKey-1)/2)
			h.put(tab, "v", nuls)
			h.want(tab, "v", nuls)
			h.wantPutError(tab, store.ErrTooLarge, nil, long+"k")
			h.wantPutError(tab, store.ErrTooLarge, nil, nuls+"\x00")
			if _, err := h.get(tab, long+"k"); !errors.Is(err, store.ErrTooLarge) {
				h.Fatalf("get of a key too long: %v", err)
			}
		}
	}},
	{name: "key_parts", test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			parts := make([]string, store.MaxParts)
			h.put(tab, "v", parts...)
			h.want(tab, "v", parts...)
			h.wantPutError(tab, store.ErrTooLarge, nil, append(parts, "")...)
			h.wantPutError(tab, store.ErrKey, nil)
			h.wantPutError(store.Table{HideKeys: tab.HideKeys, Plain: tab.Plain}, store.ErrKey, nil, "k")
		}
	}},
	{name: "writes_in_an_update", test: func(h harness) {
		h.update(func(w store.WTx) error { return putN(w, store.MaxWrites) })
		err := h.e.Update(h.Context(), func(w store.WTx) error { return putN(w, store.MaxWrites+1) })
		h.wantError(err, store.ErrTooLarge, "65 writes")
		err = h.e.Update(h.Context(), func(w store.WTx) error {
			if err := putN(w, store.MaxWrites); err != nil {
				return err
			}
			return w.Delete(things, store.Key{"0"})
		})
		h.wantError(err, store.ErrTooLarge, "64 writes and a delete")
		h.want(things, "64", "0")
	}},
	{name: "value_far_above", test: func(h harness) {
		h.wantPutError(plain, store.ErrTooLarge, filled(store.MaxValue+store.MaxSealing+1), "k")
	}},
}

func (h harness) wantPutError(tab store.Table, want error, value []byte, key ...string) {
	h.Helper()
	err := h.e.Update(h.Context(), func(w store.WTx) error {
		return w.Put(tab, store.Record{Key: key, Value: value})
	})
	h.wantError(err, want, "put")
}

func putN(w store.WTx, n int) error {
	for i := range n {
		r := store.Record{Key: store.Key{strconv.Itoa(i)}, Value: []byte(strconv.Itoa(n))}
		if err := w.Put(things, r); err != nil {
			return err
		}
	}
	return nil
}
