package memstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Engine { return memstore.New() })
}

func TestNewAt(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	e := memstore.NewAt(func() time.Time { return now })
	tab := store.Table{Name: "t"}
	err := e.Update(t.Context(), func(w store.WTx) error {
		return w.Put(tab, store.Record{Key: store.Key{"k"}, Expires: now.Add(time.Second)})
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		return e.View(t.Context(), func(tx store.Tx) error { _, err := tx.Get(tab, store.Key{"k"}); return err })
	}
	if err := get(); err != nil {
		t.Errorf("before the expiry: %v", err)
	}
	now = now.Add(time.Second)
	if err := get(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("at the expiry: %v", err)
	}
}
