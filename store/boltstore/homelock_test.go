package boltstore

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// foreignLock puts the lock of a holder on another machine at home.
func foreignLock(t *testing.T, path string, expires time.Time) {
	t.Helper()
	b, err := json.Marshal(lockRecord{
		holderRecord: holderRecord{process: process{Host: "elsewhere", PID: 4711}, Name: "oidc-agent"},
		Token:        "t", Expires: expires.UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+lockSuffix, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNetworkLockOfAnotherNode(t *testing.T) {
	path := tempPath(t)
	e := node(t, path, func(o *Options) { o.Timeout = 100 * time.Millisecond })
	foreignLock(t, path, time.Now().Add(time.Minute))
	ctx, cancel := timeout(t, 200*time.Millisecond)
	defer cancel()
	err := putText(ctx, e, "k", "v")
	var inUse *store.InUseError
	if !errors.As(err, &inUse) && !errors.Is(err, ctx.Err()) {
		t.Errorf("update: %v, want it in use", err)
	}
	if _, err := getText(t.Context(), e, "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("reading needs no lock: %v", err)
	}
	node(t, path) // opening needs no lock
	foreignLock(t, path, time.Now().Add(-clockSkew-time.Second))
	if err := putText(t.Context(), e, "k", "v"); err != nil {
		t.Errorf("update over an expired lock: %v", err)
	}
}

// A lock whose content means nothing is taken over when it has not changed for long enough by our own clock.
func TestNetworkLockUnreadable(t *testing.T) {
	path := tempPath(t)
	var mu sync.Mutex
	now := time.Now()
	e := node(t, path, func(o *Options) {
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		}
	})
	if err := os.WriteFile(path+lockSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := putText(t.Context(), e, "k", "v"); err != nil {
		t.Error(err)
	}
}

// A holder that was stopped for too long finds its new file gone and changes nothing; the update is tried again.
func TestNetworkHolderThatSlept(t *testing.T) {
	for _, step := range []string{"locked", "committed", "created", "written", "synced"} {
		t.Run(step, func(t *testing.T) {
			path := tempPath(t)
			other := node(t, path)
			if err := putText(t.Context(), other, "k", "0"); err != nil {
				t.Fatal(err)
			}
			slept := false
			o := Options{Role: "test", FSType: network(filepath.Dir(path)), CacheDir: newCache(t)}
			e, err := open(t.Context(), path, o, func(s string) {
				if s != step || slept {
					return
				}
				slept = true
				// Another node believes that the holder is gone.
				raw, err := readBounded(path + lockSuffix)
				if err == nil {
					err = other.home.breakLock(raw, "other")
				}
				if err == nil {
					err = putText(t.Context(), other, "k", "other")
				}
				if err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			err = e.Update(t.Context(), func(w store.WTx) error {
				r, err := w.Get(texts, store.Key{"k"})
				if err != nil {
					return err
				}
				return w.Put(texts, store.Record{Key: r.Key, Value: append(r.Value, '+')})
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []*Engine{e, other} {
				if v, err := getText(t.Context(), n, "k"); err != nil || v != "other+" {
					t.Errorf("value %q, %v; want the change of both", v, err)
				}
			}
		})
	}
}

func TestNetworkCloseWhileWaitingForTheLock(t *testing.T) {
	path := tempPath(t)
	e := node(t, path)
	foreignLock(t, path, time.Now().Add(time.Minute))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := putText(t.Context(), e, "k", "v"); !errors.Is(err, store.ErrClosed) {
			t.Errorf("update: %v, want ErrClosed", err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	begin := time.Now()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("close took %v", d)
	}
	wg.Wait()
}
