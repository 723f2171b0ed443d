package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// node opens the file at path as one more machine would.
func node(tb testing.TB, path string, edit ...func(*Options)) *Engine {
	tb.Helper()
	o := Options{
		Role: "test", Holder: "node", Timeout: 2 * time.Second,
		FSType: network(filepath.Dir(path)), CacheDir: newCache(tb),
	}
	for _, f := range edit {
		f(&o)
	}
	return mustOpen(tb, path, o)
}

// steps are those of one update in network mode. With the file renamed the change has happened.
func steps() []string {
	return []string{
		"locked", "fetched", "ran", "committed", "created", "written", "synced", "renamed", "settled", "unlocked",
	}
}

func TestNetworkStepsAreAllThere(t *testing.T) {
	var seen []string
	path := tempPath(t)
	e, err := open(t.Context(), path, Options{FSType: network(filepath.Dir(path)), CacheDir: newCache(t)},
		func(s string) { seen = append(seen, s) })
	if err != nil {
		t.Fatal(err)
	}
	seen = nil
	if err := putText(t.Context(), e, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(seen, " "), strings.Join(steps(), " "); got != want {
		t.Errorf("steps %q, want %q", got, want)
	}
}

// Killed between any two steps: what was there is there, what was renamed has happened, and the next update works at
// once, because a dead holder on the same machine is seen to be dead.
func TestNetworkKilledAtEachStep(t *testing.T) {
	happened := false
	for _, step := range steps() {
		happened = happened || step == "renamed"
		t.Run(step, func(t *testing.T) {
			path := tempPath(t)
			before := node(t, path)
			if err := putText(t.Context(), before, "k", "old"); err != nil {
				t.Fatal(err)
			}
			cmd, _ := child{Do: "step", Path: path, Home: filepath.Dir(path), CacheDir: newCache(t), Step: step}.start(t)
			if err := cmd.Wait(); err == nil {
				t.Fatal("the child was not killed")
			}
			want := "old"
			if happened {
				want = "new"
			}
			for _, e := range []*Engine{before, node(t, path)} {
				if v, err := getText(t.Context(), e, "k"); err != nil || v != want {
					t.Errorf("value %q, %v; want %q", v, err, want)
				}
				begin := time.Now()
				if err := putText(t.Context(), e, "other", "v"); err != nil {
					t.Error(err)
				}
				if d := time.Since(begin); d > 5*time.Second {
					t.Errorf("the next update took %v", d)
				}
				if err := e.Check(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for _, name := range listDir(t, filepath.Dir(path)) {
				if strings.Contains(name, newSuffix) || strings.HasSuffix(name, lockSuffix) {
					t.Errorf("left behind: %s", name)
				}
			}
		})
	}
}

// Each node sees what the other has acknowledged, at once.
func TestNetworkNodesSeeEachOther(t *testing.T) {
	path := tempPath(t)
	a, b := node(t, path), node(t, path)
	if !a.Network() || a.FS() != "nfs" {
		t.Fatalf("network %v, %s", a.Network(), a.FS())
	}
	for i := range 20 {
		v := strconv.Itoa(i)
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		if err := putText(t.Context(), from, "k", v); err != nil {
			t.Fatal(err)
		}
		if got, err := getText(t.Context(), to, "k"); err != nil || got != v {
			t.Fatalf("other node reads %q, %v; want %q", got, err, v)
		}
	}
}

func TestNetworkLeaseExcludesOtherNodes(t *testing.T) {
	path := tempPath(t)
	a, b := node(t, path), node(t, path)
	l, err := a.Lease(t.Context(), "refresh", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		other, err := b.Lease(t.Context(), "refresh", time.Minute)
		if err != nil {
			t.Error(err)
			return
		}
		if other.Fence() != l.Fence()+1 {
			t.Errorf("fence %d after %d", other.Fence(), l.Fence())
		}
		if v, err := getText(t.Context(), b, "rt"); err != nil || v != "rotated" {
			t.Errorf("second holder reads %q, %v", v, err)
		}
	})
	time.Sleep(homePoll)
	err = a.Update(t.Context(), func(w store.WTx) error {
		return w.Put(texts, store.Record{Key: store.Key{"rt"}, Value: []byte("rotated")})
	}, l)
	if err != nil {
		t.Error(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	err = a.Update(t.Context(), func(store.WTx) error { return nil }, l)
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("update of the first holder: %v, want ErrFenced", err)
	}
}

// A node that dies with a lease keeps nobody on the same machine waiting for it to expire.
func TestNetworkLeaseOfADeadProcess(t *testing.T) {
	if ownProcess().Host == "" {
		t.Skip("processes cannot be told apart here")
	}
	path := tempPath(t)
	cmd, out := child{Do: "lease", Path: path, Home: filepath.Dir(path), CacheDir: newCache(t)}.start(t)
	if line := <-lines(out); line != "ok <nil>" {
		t.Fatalf("child says %q", line)
	}
	e := node(t, path)
	short, cancel := timeout(t, 300*time.Millisecond)
	defer cancel()
	if _, err := e.Lease(short, "l", time.Hour); !errors.Is(err, short.Err()) {
		t.Errorf("lease of a living process: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	long, cancel := timeout(t, 10*time.Second)
	defer cancel()
	if l, err := e.Lease(long, "l", time.Hour); err != nil || l.Fence() != 2 {
		t.Errorf("lease of a dead process: %v", err)
	}
}

// Two processes count in one home: nothing is lost.
func TestNetworkTwoNodesLoseNothing(t *testing.T) {
	path := tempPath(t)
	countOnTwoNodes(t, [2]string{path, path}, 40, network(filepath.Dir(path)))
}

// countOnTwoNodes lets two processes count, each by its own path of the same file. With fsType nil the file system is
// really one that counts as network.
func countOnTwoNodes(t *testing.T, paths [2]string, n int, fsType func(string) (string, bool, error)) {
	t.Helper()
	begin := time.Now()
	var wg sync.WaitGroup
	for _, path := range paths {
		c := child{Do: "count", Path: path, CacheDir: newCache(t), N: n}
		if fsType != nil {
			c.Home = filepath.Dir(path)
		}
		cmd, out := c.start(t)
		wg.Go(func() {
			for line := range lines(out) {
				t.Error(line)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("node: %v", err)
			}
		})
	}
	wg.Wait()
	e := node(t, paths[0], func(o *Options) { o.FSType = fsType })
	if !e.Network() {
		t.Errorf("file system %s does not count as network", e.FS())
	}
	for _, k := range []string{"free", "held"} {
		if v, err := getText(t.Context(), e, k); err != nil || v != strconv.Itoa(n) {
			t.Errorf("counter %s is %q, %v; want %d", k, v, err, n)
		}
	}
	if err := e.Check(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("2 nodes, %d updates each, half of them under a lease: %v", n, time.Since(begin).Round(time.Millisecond))
}

func TestNetworkCopyVanishes(t *testing.T) {
	path, cache := tempPath(t), newCache(t)
	e := node(t, path, func(o *Options) { o.CacheDir = cache })
	other := node(t, path)
	if err := putText(t.Context(), e, "k", "1"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "1" {
		t.Errorf("read %q, %v", v, err)
	}
	if err := putText(t.Context(), e, "k", "2"); err != nil {
		t.Error(err)
	}
	if err := putText(t.Context(), other, "k", "3"); err != nil { // so that e needs a new copy
		t.Fatal(err)
	}
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "3" {
		t.Errorf("read %q, %v", v, err)
	}
}

// A copy that somebody cuts off is replaced; home is the truth.
func TestNetworkCopyDamaged(t *testing.T) {
	e := node(t, tempPath(t))
	if err := putText(t.Context(), e, "k", "1"); err != nil {
		t.Fatal(err)
	}
	if err := e.file.raw.Truncate(headSize); err != nil {
		t.Fatal(err)
	}
	_, err := getText(t.Context(), e, "k")
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "1" {
		t.Errorf("read %q, %v", v, err)
	}
	if err := putText(t.Context(), e, "k", "2"); err != nil {
		t.Error(err)
	}
}

func TestNetworkCopyIsPrivate(t *testing.T) {
	path := tempPath(t)
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, Options{FSType: network(filepath.Dir(path)), CacheDir: open})
	if !errors.Is(err, store.ErrUnsafe) {
		t.Errorf("open with a copy in a directory open to all: %v, want ErrUnsafe", err)
	}
	_, err = Open(t.Context(), path, Options{FSType: func(string) (string, bool, error) { return "nfs", false, nil }})
	if !errors.Is(err, store.ErrUnsafe) {
		t.Errorf("open without any local file system: %v, want ErrUnsafe", err)
	}
	cache := newCache(t)
	e := node(t, path, func(o *Options) { o.CacheDir = cache })
	if err := putText(t.Context(), e, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if names := listDir(t, cache); len(names) != 0 {
		t.Errorf("the copy has a name while it is open: %v", names)
	}
}

// When home refuses the new file, the copy must not show what did not happen.
func TestNetworkFailedSaveIsNotSeen(t *testing.T) {
	path := tempPath(t)
	spoil := false
	o := Options{Role: "test", FSType: network(filepath.Dir(path)), CacheDir: newCache(t)}
	e, err := open(t.Context(), path, o, func(s string) {
		if s == "synced" && spoil {
			for _, name := range []string{path + lockSuffix, path} { // home is gone altogether
				_ = os.Rename(name, name+".away")
			}
			matches, _ := filepath.Glob(path + newSuffix + "*")
			for _, m := range matches {
				_ = os.Remove(m)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if err := putText(t.Context(), e, "k", "old"); err != nil {
		t.Fatal(err)
	}
	spoil = true
	if err := putText(t.Context(), e, "k", "new"); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("update: %v, want ErrUnknown", err)
	}
	spoil = false
	if v, err := getText(t.Context(), e, "k"); err == nil {
		t.Errorf("read %q of a home that is gone", v)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "old" {
		t.Errorf("read %q, %v; want the old value", v, err)
	}
	if err := putText(t.Context(), e, "k", "again"); err != nil {
		t.Error(err)
	}
}

// A reader that makes a new copy in the middle of an update must not hide that update, nor make the next one undo it.
func TestNetworkCopyReplacedDuringUpdate(t *testing.T) {
	for _, step := range []string{"fetched", "ran"} {
		t.Run(step, func(t *testing.T) {
			path := tempPath(t)
			var e *Engine
			o := Options{Role: "test", FSType: network(filepath.Dir(path)), CacheDir: newCache(t)}
			e, err := open(t.Context(), path, o, func(s string) {
				if s != step {
					return
				}
				e.gate.Lock()
				defer e.gate.Unlock()
				if err := e.home.fetch(e); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			for _, k := range []string{"a", "b", "c"} {
				if err := putText(t.Context(), e, k, k); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range []*Engine{e, node(t, path)} {
				for _, k := range []string{"a", "b", "c"} {
					if v, err := getText(t.Context(), n, k); err != nil || v != k {
						t.Errorf("record %s: %q, %v", k, v, err)
					}
				}
			}
		})
	}
}

func TestNetworkRestoredBackupIsNoticed(t *testing.T) {
	path := tempPath(t)
	e := node(t, path)
	if err := putText(t.Context(), e, "k", "1"); err != nil {
		t.Fatal(err)
	}
	backup := read(t, path)
	if err := putText(t.Context(), e, "k", "2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := putText(t.Context(), node(t, path), "k", "3"); err != nil { // by now as many transactions as e has seen
		t.Fatal(err)
	}
	if v, err := getText(t.Context(), e, "k"); err != nil || v != "3" {
		t.Errorf("read %q, %v", v, err)
	}
}

func TestNetworkTwoCreateAtOnce(t *testing.T) {
	path := tempPath(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			o := Options{Role: "test", FSType: network(filepath.Dir(path)), CacheDir: newCache(t), Timeout: 10 * time.Second}
			e, err := Open(t.Context(), path, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = e.Close() }()
			if err := putText(t.Context(), e, strconv.Itoa(i), "v"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e := node(t, path)
	for i := range 6 {
		if _, err := getText(t.Context(), e, strconv.Itoa(i)); err != nil {
			t.Errorf("record of node %d: %v", i, err)
		}
	}
	if names := listDir(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("at home lie %v", names)
	}
}
