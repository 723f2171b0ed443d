package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

func (h harness) lease(name string, ttl time.Duration) store.Lease {
	h.Helper()
	l, err := h.e.Lease(h.Context(), name, ttl)
	if err != nil {
		h.Fatalf("lease %q: %v", name, err)
	}
	if l.Name() != name {
		h.Fatalf("lease %q is called %q", name, l.Name())
	}
	return l
}

func (h harness) release(l store.Lease) {
	h.Helper()
	if err := l.Release(h.Context()); err != nil {
		h.Fatalf("release: %v", err)
	}
}

var leaseFacts = []fact{
	{name: "second_holder_waits_for_release", bubble: true, test: func(h harness) {
		first := h.lease("l", time.Hour)
		var wg sync.WaitGroup
		var got atomic.Bool
		wg.Go(func() {
			l, err := h.e.Lease(h.Context(), "l", time.Hour)
			if err != nil {
				h.Error(err)
				return
			}
			got.Store(true)
			if l.Fence() <= first.Fence() {
				h.Errorf("fence %d after %d", l.Fence(), first.Fence())
			}
		})
		h.clock.Sleep(10 * time.Minute)
		if got.Load() {
			h.Error("two holders at once")
		}
		h.release(first)
		wg.Wait()
	}},
	{name: "other_names_do_not_wait", bubble: true, test: func(h harness) {
		h.lease("a", time.Hour)
		h.lease("b", time.Hour)
	}},
	{name: "is_lost_when_the_time_is_over", bubble: true, test: func(h harness) {
		first := h.lease("l", time.Minute)
		begin := h.clock.Now()
		var second store.Lease
		h.passing(func() { second = h.lease("l", time.Minute) })
		if waited := h.clock.Now().Sub(begin); waited < time.Minute || waited > time.Minute+h.clock.Slack {
			h.Errorf("waited %v for a lease of a minute", waited)
		}
		if second.Fence() <= first.Fence() {
			h.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
		h.wantError(first.Renew(h.Context(), time.Minute), store.ErrFenced, "renew of the first")
		h.release(first)
		ok := h.e.Update(h.Context(), func(store.WTx) error { return nil }, second)
		h.wantError(ok, nil, "update of the second after the first released")
	}},
	{name: "renew_extends_it", bubble: true, test: func(h harness) {
		l := h.lease("l", time.Minute)
		for range 5 {
			h.clock.Sleep(50 * time.Second)
			h.wantError(l.Renew(h.Context(), time.Minute), nil, "renew")
		}
		h.clock.Sleep(time.Minute)
		h.wantError(l.Renew(h.Context(), time.Minute), store.ErrFenced, "renew too late")
	}},
	{name: "update_with_a_held_lease", bubble: true, test: func(h harness) {
		a, b := h.lease("a", time.Hour), h.lease("b", time.Minute)
		write := func(w store.WTx) error { put(h, w, "k", "v"); return nil }
		h.wantError(h.e.Update(h.Context(), write, a, b), nil, "both held")
		h.want(things, "v", "k")
	}},
	{name: "update_with_a_lost_lease_changes_nothing", bubble: true, test: func(h harness) {
		a, b, c := h.lease("a", time.Hour), h.lease("b", time.Minute), h.lease("c", time.Hour)
		h.release(c)
		write := func(w store.WTx) error { put(h, w, "k", "v"); return nil }
		h.wantError(h.e.Update(h.Context(), write, a, c), store.ErrFenced, "released lease")
		h.clock.Sleep(time.Minute)
		h.wantError(h.e.Update(h.Context(), write, a, b), store.ErrFenced, "expired lease")
		h.lease("b", time.Minute)
		h.wantError(h.e.Update(h.Context(), write, b), store.ErrFenced, "lease that somebody else holds")
		h.wantAbsent(things, "k")
	}},
	{name: "waiting_ends_with_the_context", bubble: true, test: func(h harness) {
		h.lease("l", time.Hour)
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		_, err := h.e.Lease(ctx, "l", time.Hour)
		h.wantError(err, context.DeadlineExceeded, "lease")
	}},
	{name: "name_has_limits", test: func(h harness) {
		_, err := h.e.Lease(h.Context(), "", time.Minute)
		h.wantError(err, store.ErrKey, "no name")
		_, err = h.e.Lease(h.Context(), string(filled(store.MaxTable+1)), time.Minute)
		h.wantError(err, store.ErrTooLarge, "long name")
	}},
}

const (
	workers = 16
	rounds  = 20
)

var concurrencyFacts = []fact{
	{name: "counters_are_exact", test: func(h harness) {
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for range rounds {
					h.wantSoon(h.e.Update(h.Context(), func(w store.WTx) error {
						return add(w, "all", "own"+strconv.Itoa(i))
					}), nil)
				}
			})
		}
		wg.Wait()
		h.want(things, strconv.Itoa(workers*rounds), "all")
		for i := range workers {
			h.want(things, strconv.Itoa(rounds), "own"+strconv.Itoa(i))
		}
	}},
	{name: "refusals_leave_no_trace_beside_others", test: func(h harness) {
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for range rounds {
					err := h.e.Update(h.Context(), func(w store.WTx) error {
						if err := add(w, "all"); err != nil || i%2 == 0 {
							return err
						}
						return errRefused
					})
					if i%2 == 1 {
						h.wantSoon(err, errRefused)
						continue
					}
					h.wantSoon(err, nil)
				}
			})
		}
		wg.Wait()
		h.want(things, strconv.Itoa(workers/2*rounds), "all")
	}},
	{name: "lease_excludes", test: func(h harness) {
		var wg sync.WaitGroup
		var inside atomic.Int32
		for range 4 {
			wg.Go(func() {
				for range 5 {
					l, err := h.e.Lease(h.Context(), "l", time.Minute)
					if err != nil {
						h.Error(err)
						return
					}
					if inside.Add(1) != 1 {
						h.Error("two holders at once")
					}
					h.wantSoon(h.e.Update(h.Context(), func(w store.WTx) error { return add(w, "n") }, l), nil)
					inside.Add(-1)
					h.wantSoon(l.Release(h.Context()), nil)
				}
			})
		}
		wg.Wait()
		h.want(things, "20", "n")
	}},
	{name: "readers_see_whole_updates", test: func(h harness) {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(stop)
			for range rounds {
				h.wantSoon(h.e.Update(h.Context(), func(w store.WTx) error { return add(w, "a", "b") }), nil)
			}
		})
		for range 4 {
			wg.Go(func() { h.readPairs(stop) })
		}
		wg.Wait()
	}},
}

// readPairs checks until stop that records "a" and "b" are always equal.
func (h harness) readPairs(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		err := h.e.View(h.Context(), func(tx store.Tx) error {
			a, errA := tx.Get(things, store.Key{"a"})
			b, errB := tx.Get(things, store.Key{"b"})
			if string(a.Value) != string(b.Value) || errors.Is(errA, store.ErrNotFound) != errors.Is(errB, store.ErrNotFound) {
				return fmt.Errorf("half an update: %q (%w) and %q (%w)", a.Value, errA, b.Value, errB)
			}
			return nil
		})
		if err != nil {
			h.Error(err)
			return
		}
	}
}

// add counts the records of these names up by one.
func add(w store.WTx, names ...string) error {
	for _, name := range names {
		n := 0
		r, err := w.GetForUpdate(things, store.Key{name})
		switch {
		case err == nil:
			if n, err = strconv.Atoi(string(r.Value)); err != nil {
				return err
			}
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		r = store.Record{Key: store.Key{name}, Value: []byte(strconv.Itoa(n + 1))}
		if err := w.Put(things, r); err != nil {
			return err
		}
	}
	return nil
}
