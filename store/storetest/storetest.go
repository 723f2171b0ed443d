// Package storetest is the suite that every engine passes: the contract of package store as facts.
//
// It tests what callers may rely on and nothing of how an engine works; durability and damage are tested beside each
// engine, because only there one can kill a process or break a file.
//
// Not a public API.
package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Run tests the engines that open returns, each new and empty. Run closes them. Some tests call open in a
// testing/synctest bubble, so the engine must judge time by time.Now.
func Run(t *testing.T, open func(t *testing.T) store.Engine) { suite{open: open}.run(t) }

// RunWith is Run for engines that have a clock of their own; clock is called after open.
func RunWith(t *testing.T, open func(t *testing.T) store.Engine, clock func(t *testing.T) Clock) {
	suite{open: open, clock: clock}.run(t)
}

type suite struct {
	open  opener
	clock func(t *testing.T) Clock // nil: time.Now
}

func (s suite) run(t *testing.T) {
	groups := []struct {
		name  string
		facts []fact
	}{
		{"Records", recordFacts},
		{"Keys", keyFacts},
		{"Limits", limitFacts},
		{"Transactions", txFacts},
		{"Expiry", expiryFacts},
		{"Leases", leaseFacts},
		{"Concurrency", concurrencyFacts},
		{"Tables", tableFacts},
		{"Close", closeFacts},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, f := range g.facts {
				t.Run(f.name, func(t *testing.T) { f.run(t, s) })
			}
		})
	}
}

type opener func(t *testing.T) store.Engine

// fact is one thing that is true of every engine.
type fact struct {
	name   string
	bubble bool // run with a fake clock
	test   func(h harness)
}

// harness is what a fact works with.
type harness struct {
	*testing.T
	e      store.Engine
	clock  Clock
	handed bool // the clock is the engine's own
}

var (
	plain  = store.Table{Name: "plain", Plain: true}
	things = store.Table{Name: "things"}
	hidden = store.Table{Name: "hidden", HideKeys: true}
)

func start(t *testing.T, open opener, clock func(*testing.T) Clock, handed bool) harness {
	t.Helper()
	e := open(t)
	t.Cleanup(func() {
		if err := e.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return harness{T: t, e: e, clock: clock(t), handed: handed}
}

func (h harness) put(tab store.Table, value string, key ...string) {
	h.Helper()
	h.putUntil(tab, value, time.Time{}, key...)
}

func (h harness) putUntil(tab store.Table, value string, expires time.Time, key ...string) {
	h.Helper()
	h.update(func(w store.WTx) error {
		return w.Put(tab, store.Record{Key: key, Value: []byte(value), Expires: expires})
	})
}

func (h harness) update(fn func(store.WTx) error, held ...store.Lease) {
	h.Helper()
	if err := h.e.Update(h.Context(), fn, held...); err != nil {
		h.Fatalf("update: %v", err)
	}
}

func (h harness) get(tab store.Table, key ...string) (r store.Record, err error) {
	h.Helper()
	err = h.e.View(h.Context(), func(tx store.Tx) error {
		r, err = tx.Get(tab, key)
		return err
	})
	return r, err
}

func (h harness) want(tab store.Table, value string, key ...string) {
	h.Helper()
	r, err := h.get(tab, key...)
	if err != nil {
		h.Fatalf("get %q: %v", key, err)
	}
	if string(r.Value) != value {
		h.Fatalf("get %q: value %q, want %q", key, r.Value, value)
	}
	if !slices.Equal(r.Key, key) {
		h.Fatalf("get %q: key %q", key, r.Key)
	}
}

func (h harness) wantAbsent(tab store.Table, key ...string) {
	h.Helper()
	if _, err := h.get(tab, key...); !errors.Is(err, store.ErrNotFound) {
		h.Fatalf("get %q: %v, want ErrNotFound", key, err)
	}
}

func (h harness) wantError(err, want error, doing string) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Fatalf("%s: %v, want %v", doing, err, want)
	}
}

// scan returns the keys below prefix as the engine yields them.
func (h harness) scan(tab store.Table, prefix ...string) []store.Key {
	h.Helper()
	var keys []store.Key
	err := h.e.View(h.Context(), func(tx store.Tx) error {
		keys = nil
		for r, err := range tx.Scan(tab, prefix) {
			if err != nil {
				return err
			}
			keys = append(keys, r.Key)
		}
		return nil
	})
	if err != nil {
		h.Fatalf("scan %q: %v", prefix, err)
	}
	return keys
}

func (h harness) wantScan(tab store.Table, want []store.Key, prefix ...string) {
	h.Helper()
	got := h.scan(tab, prefix...)
	if tab.HideKeys { // then the order is that of hashes
		slices.SortFunc(got, slices.Compare)
	}
	if !slices.EqualFunc(got, want, slices.Equal[store.Key]) {
		h.Fatalf("scan of %s below %q: %q, want %q", tab.Name, prefix, got, want)
	}
}

func filled(n int) []byte { return bytes.Repeat([]byte{0xAB}, n) }
