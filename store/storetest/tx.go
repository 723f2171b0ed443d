package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

var errRefused = errors.New("refused by the caller")

var txFacts = []fact{
	{name: "error_rolls_back_and_is_returned_as_it_is", test: func(h harness) {
		h.put(things, "old", "a")
		err := h.e.Update(h.Context(), func(w store.WTx) error {
			put(h, w, "a", "new")
			put(h, w, "b", "new")
			if err := w.Delete(things, store.Key{"a"}); err != nil {
				h.Error(err)
			}
			return errRefused
		})
		if err != errRefused { //nolint:errorlint // as it is, not wrapped
			h.Fatalf("update: %v", err)
		}
		h.want(things, "old", "a")
		h.wantAbsent(things, "b")
		if err := h.e.View(h.Context(), func(store.Tx) error { return errRefused }); err != errRefused { //nolint:errorlint
			h.Fatalf("view: %v", err)
		}
	}},
	{name: "panic_rolls_back_and_comes_out", test: func(h harness) {
		caught := func() (v any) {
			defer func() { v = recover() }()
			_ = h.e.Update(h.Context(), func(w store.WTx) error {
				put(h, w, "a", "new")
				panic("boom")
			})
			return nil
		}()
		if caught != "boom" {
			h.Fatalf("recovered %v", caught)
		}
		h.wantAbsent(things, "a")
		h.put(things, "still works", "a")
	}},
	{name: "update_sees_its_own_writes", test: func(h harness) {
		h.put(things, "old", "a")
		h.update(func(w store.WTx) error {
			put(h, w, "a", "new")
			if r, err := w.GetForUpdate(things, store.Key{"a"}); err != nil || string(r.Value) != "new" {
				h.Errorf("after put: %q, %v", r.Value, err)
			}
			if err := w.Delete(things, store.Key{"a"}); err != nil {
				return err
			}
			if _, err := w.Get(things, store.Key{"a"}); !errors.Is(err, store.ErrNotFound) {
				h.Errorf("after delete: %v", err)
			}
			put(h, w, "a", "again")
			return nil
		})
		h.want(things, "again", "a")
	}},
	{name: "update_scans_what_it_wrote_before", test: func(h harness) {
		for _, k := range []string{"a", "b", "c", "e"} {
			h.put(things, "old", k)
		}
		var keys string
		h.update(func(w store.WTx) error {
			keys = ""
			put(h, w, "d", "new")
			put(h, w, "a", "new")
			if err := w.Delete(things, store.Key{"b"}); err != nil {
				return err
			}
			for r, err := range w.Scan(things, nil) {
				if err != nil {
					return err
				}
				keys += r.Key[0] + "=" + string(r.Value) + " "
			}
			return nil
		})
		if want := "a=new c=old d=new e=old "; keys != want {
			h.Fatalf("scan in update: %q, want %q", keys, want)
		}
	}},
	{name: "view_is_a_snapshot", test: func(h harness) {
		h.put(things, "old", "a")
		err := h.e.View(h.Context(), func(tx store.Tx) error {
			var wg sync.WaitGroup
			wg.Go(func() { h.put(things, "new", "a"); h.put(things, "new", "b") })
			wg.Wait()
			if r, err := tx.Get(things, store.Key{"a"}); err != nil || string(r.Value) != "old" {
				h.Errorf("get after a concurrent update: %q, %v", r.Value, err)
			}
			if _, err := tx.Get(things, store.Key{"b"}); !errors.Is(err, store.ErrNotFound) {
				h.Errorf("record put later: %v", err)
			}
			return nil
		})
		if err != nil {
			h.Fatal(err)
		}
		h.want(things, "new", "a")
	}},
	{name: "nothing_works_after_the_end", test: func(h harness) {
		var rd store.Tx
		var wr store.WTx
		_ = h.e.View(h.Context(), func(tx store.Tx) error { rd = tx; return nil })
		h.update(func(w store.WTx) error { wr = w; return nil })
		if _, err := rd.Get(things, store.Key{"a"}); err == nil || errors.Is(err, store.ErrNotFound) {
			h.Errorf("get after the end of a view: %v", err)
		}
		if err := wr.Put(things, store.Record{Key: store.Key{"a"}}); err == nil {
			h.Error("put after the end of an update worked")
		}
		for _, err := range wr.Scan(things, nil) {
			if err == nil {
				h.Error("scan after the end of an update yields")
			}
		}
		h.wantAbsent(things, "a")
	}},
	{name: "done_context_changes_nothing", test: func(h harness) {
		ctx, cancel := context.WithCancel(h.Context())
		cancel()
		err := h.e.Update(ctx, func(w store.WTx) error { put(h, w, "a", "v"); return nil })
		h.wantError(err, context.Canceled, "update")
		h.wantError(h.e.View(ctx, func(store.Tx) error { return nil }), context.Canceled, "view")
		h.wantAbsent(things, "a")
	}},
}

var expiryFacts = []fact{
	{name: "reader_never_sees_the_expired", bubble: true, test: func(h harness) {
		for _, tab := range []store.Table{plain, things, hidden} {
			h.putUntil(tab, "v", h.clock.Now().Add(time.Second), "short")
			h.put(tab, "v", "long")
			h.clock.Sleep(999 * time.Millisecond)
			h.want(tab, "v", "short")
			h.clock.Sleep(time.Millisecond)
			h.wantAbsent(tab, "short")
			h.wantScan(tab, []store.Key{{"long"}})
			h.putUntil(tab, "again", h.clock.Now().Add(time.Second), "short")
			h.want(tab, "again", "short")
		}
	}},
	{name: "judged_by_the_time_of_the_transaction", bubble: true, test: func(h harness) {
		h.putUntil(things, "v", h.clock.Now().Add(time.Second), "a")
		err := h.e.View(h.Context(), func(tx store.Tx) error {
			h.clock.Sleep(time.Minute)
			_, err := tx.Get(things, store.Key{"a"})
			return err
		})
		if err != nil {
			h.Fatalf("record that was there when the view began: %v", err)
		}
		h.wantAbsent(things, "a")
	}},
	{name: "long_ago_is_not_never", bubble: true, test: func(h harness) {
		for _, past := range []time.Time{time.Unix(0, 0), time.Unix(-5, 0), h.clock.Now().Add(-time.Millisecond)} {
			h.putUntil(things, "v", past, "a")
			h.wantAbsent(things, "a")
		}
	}},
	{name: "own_write_that_is_expired_is_absent", bubble: true, test: func(h harness) {
		h.update(func(w store.WTx) error {
			r := store.Record{Key: store.Key{"a"}, Expires: h.clock.Now()}
			if err := w.Put(things, r); err != nil {
				return err
			}
			if _, err := w.Get(things, r.Key); !errors.Is(err, store.ErrNotFound) {
				h.Errorf("get: %v", err)
			}
			return nil
		})
	}},
}

// lister is implemented by engines that can be copied.
type lister interface {
	Tables(ctx context.Context) ([]string, error)
}

// tableFacts are for engines that are one.
var tableFacts = []fact{
	{name: "tables_with_rows_are_listed", test: func(h harness) {
		e, ok := h.e.(lister)
		if !ok {
			h.Skip("the engine does not list its tables")
		}
		want := func(names ...string) {
			h.Helper()
			if got, err := e.Tables(h.Context()); err != nil || !slices.Equal(got, names) {
				h.Errorf("%q, %v, want %q", got, err, names)
			}
		}
		want()
		h.put(things, "v", "a")
		h.put(plain, "v", "a")
		h.put(plain, "v", "b")
		want("plain", "things")
		h.update(func(w store.WTx) error { return w.Delete(things, store.Key{"a"}) })
		want("plain")
	}},
}

var closeFacts = []fact{
	{name: "everything_is_ErrClosed", test: func(h harness) {
		l, err := h.e.Lease(h.Context(), "l", time.Minute)
		if err != nil {
			h.Fatal(err)
		}
		if err := h.e.Close(); err != nil {
			h.Fatal(err)
		}
		h.wantError(h.e.View(h.Context(), func(store.Tx) error { return nil }), store.ErrClosed, "view")
		h.wantError(h.e.Update(h.Context(), func(store.WTx) error { return nil }), store.ErrClosed, "update")
		_, err = h.e.Lease(h.Context(), "other", time.Minute)
		h.wantError(err, store.ErrClosed, "lease")
		h.wantError(l.Renew(h.Context(), time.Minute), store.ErrClosed, "renew")
		h.wantError(l.Release(h.Context()), store.ErrClosed, "release")
		h.wantError(h.e.Close(), store.ErrClosed, "close")
	}},
	{name: "close_wakes_who_waits_for_a_lease", bubble: true, test: func(h harness) {
		if _, err := h.e.Lease(h.Context(), "l", time.Hour); err != nil {
			h.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := h.e.Lease(h.Context(), "l", time.Hour)
			h.wantSoon(err, store.ErrClosed)
		})
		h.clock.Sleep(time.Second)
		if err := h.e.Close(); err != nil {
			h.Fatal(err)
		}
		wg.Wait()
	}},
}

// wantSoon is wantError for goroutines that are not the test's own.
func (h harness) wantSoon(err, want error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Errorf("%v, want %v", err, want)
	}
}

func put(h harness, w store.WTx, key, value string) {
	h.Helper()
	if err := w.Put(things, store.Record{Key: store.Key{key}, Value: []byte(value)}); err != nil {
		h.Errorf("put %q: %v", key, err)
	}
}
