package pgstore

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

func drain(lines <-chan string) (n int) {
	for range lines {
		n++
	}
	return n
}

func wantCount(t *testing.T, e *Engine, least, most int) {
	t.Helper()
	n, err := count(t.Context(), e)
	if err != nil || n < least || n > most {
		t.Errorf("counter is %d (%v), acknowledged %d, and %d may be", n, err, least, most)
	}
}

// TestProcesses: what other processes do is exact, also when one is killed: what it was told happened, and at most the
// one change more that it was waiting for.
func TestProcesses(t *testing.T) {
	url := server(t).URL("")
	for _, tc := range []struct {
		do    string
		n     int
		after int // acknowledged changes before the kill
	}{{"count", 100, 30}, {"lease", 10, 3}} {
		t.Run(tc.do+"_one_killed", func(t *testing.T) {
			c := child{Do: tc.do, URL: url, Schema: newSchema(), N: tc.n}
			var lines []<-chan string
			for range 3 {
				_, l := c.start(t)
				lines = append(lines, l)
			}
			c.N = 0
			victim, said := c.start(t)
			got := 0
			for range tc.after {
				if _, ok := <-said; ok {
					got++
				}
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			got += drain(said)
			if got < tc.after {
				t.Fatalf("the one to be killed ended by itself after %d", got)
			}
			for _, l := range lines {
				n := drain(l)
				if n != tc.n {
					t.Errorf("a child made %d of %d changes", n, tc.n)
				}
				got += n
			}
			wantCount(t, mustOpen(t, url, Options{Schema: c.Schema}), got, got+1)
		})
	}
	t.Run("eight_create_the_tables_at_once", func(t *testing.T) {
		c := child{Do: "open", URL: url, Schema: newSchema()}
		var all []<-chan string
		for range 8 {
			_, l := c.start(t)
			all = append(all, l)
		}
		for i, l := range all {
			if drain(l) != 1 {
				t.Errorf("process %d did not open", i)
			}
		}
		mustOpen(t, url, Options{Schema: c.Schema, MustExist: true})
	})
}

// TestRestart: a server that is stopped and started in the middle is a pause. What was acknowledged is there; what
// ended with ErrUnknown may be.
func TestRestart(t *testing.T) {
	pg := server(t)
	for _, mode := range []string{"fast", "immediate"} {
		t.Run(mode, func(t *testing.T) {
			e := mustOpen(t, pg.URL(""), Options{Schema: newSchema()})
			stop := make(chan struct{})
			var acknowledged, unknown atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { countUntil(t, e, stop, &acknowledged, &unknown) })
			}
			until(t, func() bool { return acknowledged.Load() > 50 })
			if err := pg.Stop(mode); err != nil {
				t.Error(err)
			}
			if err := pg.Start(); err != nil {
				t.Error(err)
			}
			before := acknowledged.Load()
			until(t, func() bool { return acknowledged.Load() > before+50 })
			close(stop)
			wg.Wait()
			wantCount(t, e, int(acknowledged.Load()), int(acknowledged.Load()+unknown.Load()))
		})
	}
}

func countUntil(t *testing.T, e *Engine, stop <-chan struct{}, acknowledged, unknown *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		switch err := e.Update(t.Context(), addOne); {
		case err == nil:
			acknowledged.Add(1)
		case errors.Is(err, store.ErrUnknown):
			unknown.Add(1)
		default:
			t.Errorf("update: %v", err)
			return
		}
	}
}

func until(t *testing.T, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if t.Failed() || time.Now().After(deadline) {
			t.Fatal("that does not come true")
		}
	}
}

// TestServerAway: without a server, calls end when the patience does, with an error that says so.
func TestServerAway(t *testing.T) {
	pg := server(t)
	e := mustOpen(t, pg.URL(""), Options{Schema: newSchema(), Patience: 300 * time.Millisecond})
	if err := pg.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	err := e.Update(t.Context(), addOne)
	_, opened := Open(t.Context(), text(pg.URL("")), Options{Patience: 300 * time.Millisecond})
	if err2 := pg.Start(); err2 != nil {
		t.Fatal(err2)
	}
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(opened, store.ErrUnavailable) {
		t.Errorf("update: %v; open: %v", err, opened)
	}
	until(t, func() bool { return e.Update(t.Context(), addOne) == nil })
	wantCount(t, e, 1, 1)
}

// TestHotRow: 64 clients of one process count in one row.
func TestHotRow(t *testing.T) {
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				if err := e.Update(t.Context(), addOne); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantCount(t, e, 320, 320)
	var rows int
	sqlDo(t, "select count(*) from "+e.o.Schema+".records", &rows)
	if rows != 1 {
		t.Errorf("%d rows after counting in one", rows)
	}
}

// TestDeadlock: two that lock in opposite order are put in a row by the engine, without their noticing.
func TestDeadlock(t *testing.T) {
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()})
	var runs atomic.Int32
	var met, wg sync.WaitGroup
	met.Add(2)
	for i := range 2 {
		wg.Go(func() {
			first := true
			err := e.Update(t.Context(), func(w store.WTx) error {
				runs.Add(1)
				for j := range 2 {
					key := store.Key{strconv.Itoa((i + j) % 2)}
					if _, err := w.GetForUpdate(texts, key); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if j == 0 && first {
						first = false
						met.Done()
						met.Wait()
					}
				}
				return addOne(w)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs.Load() < 3 {
		t.Error("there was no deadlock: the test tests nothing")
	}
	wantCount(t, e, 2, 2)
}

// TestLongView: a View that lasts longer than other people's writes sees none of them, page after page.
func TestLongView(t *testing.T) {
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()})
	const rows = 3*scanPage + 1
	for i := 0; i < rows; i += store.MaxWrites {
		fill(t, e, i, min(i+store.MaxWrites, rows), "old")
	}
	seen := 0
	err := e.View(t.Context(), func(tx store.Tx) error {
		for r, err := range tx.Scan(texts, nil) {
			if err != nil {
				return err
			}
			if string(r.Value) != "old" {
				t.Fatalf("record %q has %q", r.Key, r.Value)
			}
			if seen++; seen%scanPage == 1 {
				fill(t, e, rows-20, rows+20, "new"+strconv.Itoa(seen))
			}
			if other, err := tx.Get(texts, r.Key); err != nil || string(other.Value) != "old" {
				t.Fatalf("get within a scan: %q, %v", other.Value, err)
			}
		}
		return nil
	})
	if err != nil || seen != rows {
		t.Errorf("%d of %d records, %v", seen, rows, err)
	}
}

func fill(t *testing.T, e *Engine, from, to int, value string) {
	t.Helper()
	err := e.Update(t.Context(), func(w store.WTx) error {
		for i := from; i < to; i++ {
			if err := w.Put(texts, store.Record{Key: store.Key{strconv.Itoa(100000 + i)}, Value: []byte(value)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRealClock: with the database's own clock, without any exact time.
func TestRealClock(t *testing.T) {
	e := mustOpen(t, server(t).URL(""), Options{Schema: newSchema()})
	put := func(key string, expires time.Time) {
		t.Helper()
		err := e.Update(t.Context(), func(w store.WTx) error {
			return w.Put(texts, store.Record{Key: store.Key{key}, Expires: expires})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * sweepBatch / store.MaxWrites {
		fill(t, e, i*store.MaxWrites, (i+1)*store.MaxWrites, "kept")
	}
	put("gone", time.Now().Add(-time.Second))
	put("there", time.Now().Add(time.Hour))
	err := e.View(t.Context(), func(tx store.Tx) error {
		if _, err := tx.Get(texts, store.Key{"gone"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("expired record: %v", err)
		}
		_, err := tx.Get(texts, store.Key{"there"})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if n, err := e.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	first, err := e.Lease(t.Context(), "l", 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Lease(t.Context(), "l", time.Hour)
	if err != nil || second.Fence() <= first.Fence() {
		t.Fatalf("second holder: %v", err)
	}
	if err := e.Update(t.Context(), addOne, first); !errors.Is(err, store.ErrFenced) {
		t.Errorf("update by the first: %v", err)
	}
}
