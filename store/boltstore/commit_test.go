package boltstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// blocked starts an update that holds the write transaction until release is called.
func blocked(t *testing.T, e *Engine) (release func()) {
	t.Helper()
	inside, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once // a commit that finds the disk full is tried again
	go func() {
		done <- e.Update(context.Background(), func(w store.WTx) error {
			once.Do(func() { close(inside) })
			<-free
			return nil
		})
	}()
	<-inside
	return func() {
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// txid counts commits.
func txid(t *testing.T, e *Engine) int {
	t.Helper()
	r, err := e.beginRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.rollback()
	return r.bolt.ID()
}

func TestWaitingUpdatesShareACommit(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	before := txid(t, e)
	release := blocked(t, e)
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := putText(t.Context(), e, strconv.Itoa(i), "v"); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // let them queue; if some do not, the count below is only larger
	release()
	wg.Wait()
	if commits := txid(t, e) - before; commits > n/2 {
		t.Errorf("%d commits for %d waiting updates", commits, n)
	}
}

func TestRefusalInABatchRunsNobodyAgain(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	release := blocked(t, e)
	refused := errors.New("refused")
	var (
		wg   sync.WaitGroup
		runs [20]int
	)
	for i := range runs {
		wg.Go(func() {
			err := e.Update(t.Context(), func(w store.WTx) error {
				runs[i]++
				err := w.Put(texts, store.Record{Key: store.Key{strconv.Itoa(i)}})
				if i%2 == 0 {
					err = refused
				}
				return err
			})
			if (i%2 == 0) != errors.Is(err, refused) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	release()
	wg.Wait()
	for i, n := range runs {
		if n != 1 {
			t.Errorf("update %d ran %d times", i, n)
		}
		if _, err := getText(t.Context(), e, strconv.Itoa(i)); (i%2 == 0) != errors.Is(err, store.ErrNotFound) {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

func TestPanicAndGoexitInABatchHitNobodyElse(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	release := blocked(t, e)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = e.Update(t.Context(), func(store.WTx) error { panic("boom") })
	})
	wg.Go(func() { _ = e.Update(t.Context(), func(store.WTx) error { runtime.Goexit(); return nil }) })
	wg.Go(func() {
		if err := putText(t.Context(), e, "k", "v"); err != nil {
			t.Error(err)
		}
	})
	release()
	wg.Wait()
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestWaitingUpdateMayLeave(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	release := blocked(t, e)
	ctx, cancel := timeout(t, 20*time.Millisecond)
	defer cancel()
	if err := putText(ctx, e, "k", "v"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("update: %v", err)
	}
	release()
	if _, err := getText(t.Context(), e, "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the update that left has happened: %v", err)
	}
}

func TestUpdateWithoutWritesCommitsNothing(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	before := txid(t, e)
	if err := e.Update(t.Context(), func(store.WTx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if after := txid(t, e); after != before {
		t.Errorf("%d commits", after-before)
	}
}

// A lease of a process that died is free at once: nobody else can have had the file open since.
func TestLeaseOfADeadHolderIsFree(t *testing.T) {
	path := tempPath(t)
	first := mustOpen(t, path, Options{})
	l, err := first.Lease(t.Context(), "l", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := timeout(t, 5*time.Second)
	defer cancel()
	next, err := mustOpen(t, path, Options{}).Lease(ctx, "l", time.Hour)
	if err != nil || next.Fence() != l.Fence()+1 {
		t.Fatalf("%v, fence %v after %d", err, next, l.Fence())
	}
}

func TestSnapshot(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "network": true} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			o := Options{Role: "person", CacheDir: newCache(t)}
			if remote {
				o.FSType = network(filepath.Dir(path))
			}
			e := mustOpen(t, path, o)
			if err := putText(t.Context(), e, "k", "v"); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			n, err := e.Snapshot(t.Context(), &b)
			if err != nil || n != int64(b.Len()) {
				t.Fatalf("%d of %d bytes, %v", n, b.Len(), err)
			}
			if err := putText(t.Context(), e, "k", "later"); err != nil {
				t.Fatal(err)
			}
			copied := tempPath(t)
			if err := errors.Join(os.Mkdir(filepath.Dir(copied), 0o700), os.WriteFile(copied, b.Bytes(), 0o600)); err != nil {
				t.Fatal(err)
			}
			backup := mustOpen(t, copied, Options{Role: "person", MustExist: true})
			if v, err := getText(t.Context(), backup, "k"); err != nil || v != "v" {
				t.Errorf("backup has %q, %v", v, err)
			}
			if err := backup.Check(t.Context()); err != nil {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			w := writerFunc(func(b []byte) (int, error) { cancel(); return len(b), nil })
			if _, err := e.Snapshot(ctx, w); !errors.Is(err, context.Canceled) {
				t.Errorf("snapshot that is stopped: %v", err)
			}
		})
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestPeek(t *testing.T) {
	path := tempPath(t)
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	e := mustOpen(t, path, Options{Role: "person", Now: func() time.Time { return now }})
	for _, k := range []string{"a", "b"} {
		if err := putText(t.Context(), e, k, "1234"); err != nil {
			t.Fatal(err)
		}
	}
	info, err := Peek(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Role != "person" || info.Format != formatVersion || !info.Created.Equal(now) || info.Size < headSize {
		t.Errorf("%+v", info)
	}
	// Keys "a" and "b" with their ends, eight bytes of expiry, values of four.
	want := TableInfo{Records: 2, Bytes: 2 * (2 + 8 + 4)}
	if got := info.Tables[texts.Name]; got != want || len(info.Tables) != 1 {
		t.Errorf("tables %+v, want %+v", info.Tables, want)
	}
	if _, err := Peek(path + "-absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestPeekWhileWriting(t *testing.T) {
	path := tempPath(t)
	e := mustOpen(t, path, Options{Role: "person"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := putText(t.Context(), e, strconv.Itoa(i%300), filler); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		if info, err := Peek(path); err != nil || info.Role != "person" {
			t.Fatalf("%+v, %v", info, err)
		}
		if err := e.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestCheckFindsBadRows(t *testing.T) {
	e := mustOpen(t, tempPath(t), Options{})
	err := e.update(t.Context(), func(w *tx) error {
		w.changes.set(tablePrefix+"texts", []byte("no end"), []byte("12345678"))
		w.changes.set(tablePrefix+"texts", []byte("k\x00"), []byte("short"))
		w.changes.set(leaseBucket, []byte("l"), []byte("{"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Check(t.Context())
	if !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("check: %v", err)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 { //nolint:errorlint
		t.Errorf("want three faults: %v", err)
	}
}

func TestSweep(t *testing.T) {
	path := tempPath(t)
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	e := mustOpen(t, path, Options{Now: func() time.Time { return now }})
	for i := range 150 {
		err := e.Update(t.Context(), func(w store.WTx) error {
			r := store.Record{Key: store.Key{strconv.Itoa(i)}}
			if i%3 > 0 {
				r.Expires = now.Add(time.Duration(i%3) * time.Hour)
			}
			return w.Put(texts, r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct{ removed, left int }{{0, 150}, {50, 100}, {50, 50}, {0, 50}} {
		n, err := e.Sweep(t.Context())
		info, peekErr := Peek(path)
		if err := errors.Join(err, peekErr); err != nil || n != want.removed || info.Tables["texts"].Records != want.left {
			t.Errorf("removed %d, left %d, %v; want %+v", n, info.Tables["texts"].Records, err, want)
		}
		now = now.Add(time.Hour)
	}
}
