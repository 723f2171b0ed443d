package keystore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const crashEnv = "OIDCBOX_TEST_REKEY"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		rekeyForEver(dir)
	}
	os.Exit(m.Run())
}

func rekeyForEver(dir string) {
	ctx := context.Background()
	eng, err := boltstore.Open(ctx, filepath.Join(dir, "keystore"), boltstore.Options{Role: "test", MustExist: true})
	fatal(err)
	v, err := vault.New(vault.Prefer, nil)
	fatal(err)
	cred := KeyFile(filepath.Join(dir, "key"))
	k, err := Open(ctx, eng, v, cred)
	fatal(err)
	for {
		fmt.Println("rekey")
		fatal(k.Rekey(ctx, RekeyOptions{Keep: []Credential{cred}}))
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func openBolt(t *testing.T, dir string) *boltstore.Engine {
	t.Helper()
	eng, err := boltstore.Open(t.Context(), filepath.Join(dir, "keystore"), boltstore.Options{Role: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return eng
}

// TestRekeyKilled kills a process with SIGKILL while it rekeys a real file, again and again.
func TestRekeyKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs SIGKILL")
	}
	const rounds, records = 10, 100
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	eng := openBolt(t, dir)
	k, err := Create(t.Context(), eng, newVault(t), NewSlot{Kind: KindKeyFile, Path: filepath.Join(dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, k, records)
	if err := k.Engine().Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := 0
	for range rounds {
		killOne(t, dir)
		eng := openBolt(t, dir)
		info, err := Inspect(t.Context(), eng)
		if err != nil {
			t.Fatal(err)
		}
		if info.Unfinished {
			unfinished++
		}
		dropMark(t, eng)
		k := reopen(t, eng, KeyFile(filepath.Join(dir, "key")))
		checkFilled(t, k, records)
		if err := eng.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := k.Engine().Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d kills met an unfinished rekey", unfinished, rounds)
	if unfinished == 0 {
		t.Error("no kill met a rekey: the test showed nothing")
	}
}

func killOne(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.HasPrefix(line, "rekey") {
		t.Errorf("the child said %q", line)
	}
	time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// After a kill the mark is still there for some seconds. Whoever opens the keystore waits for its end instead of
// failing, and so does a process that had it open already.
func TestMarkOfADeadProcess(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	v := newVault(t)
	synctest.Test(t, func(t *testing.T) {
		eng := memstore.New()
		dead, err := Create(t.Context(), eng, v, NewSlot{Kind: KindKeyFile, Path: key})
		if err != nil {
			t.Fatal(err)
		}
		other, err := Open(t.Context(), eng, v, KeyFile(key))
		if err != nil {
			t.Fatal(err)
		}
		h, err := readHeader(t.Context(), eng)
		if err != nil {
			t.Fatal(err)
		}
		begin := func() {
			if _, err := dead.begin(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
		begin()
		start := time.Now()
		put(t, other.Engine(), hidden, "cern", "token")
		if waited := time.Since(start); waited < markTTL || waited > markTTL+time.Second {
			t.Errorf("Update waited %v", waited)
		}
		again, err := Open(t.Context(), eng, v, KeyFile(key))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := get(t, again.Engine(), hidden, "cern"); got != "token" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if info, err := Inspect(t.Context(), eng); info.Unfinished || err != nil {
			t.Errorf("%+v, %v", info, err)
		}

		begin()
		start = time.Now()
		if _, err := Open(t.Context(), eng, v, KeyFile(key)); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited < markTTL || waited > markTTL+time.Second {
			t.Errorf("Open waited %v", waited)
		}
	})
}

// A Rekey that is alive keeps others waiting, who then find the new key.
func TestOpenDuringARekey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	v := newVault(t)
	synctest.Test(t, func(t *testing.T) {
		eng := &slow{Engine: memstore.New()}
		a, err := Create(t.Context(), eng, v, NewSlot{Kind: KindKeyFile, Path: key})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, a, 40)
		eng.each = time.Second
		done := make(chan error, 1)
		go func() { done <- a.Rekey(t.Context(), RekeyOptions{Keep: []Credential{KeyFile(key)}}) }()
		time.Sleep(3 * time.Second)
		b, err := Open(t.Context(), eng.Engine, v, KeyFile(key))
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		checkFilled(t, b, 40)
		if err := b.Rekey(t.Context(), RekeyOptions{Keep: []Credential{KeyFile(key)}}); err != nil {
			t.Fatal(err)
		}
		if err := a.RemoveSlot(t.Context(), "00000000"); !errors.Is(err, ErrRekeyed) {
			t.Errorf("slot change with the old key: %v", err)
		}
	})
}

// slow takes its time over every Update.
type slow struct {
	store.Engine
	each time.Duration
}

func (s *slow) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	time.Sleep(s.each)
	return s.Engine.Update(ctx, fn, held...)
}

// Two login nodes have one home directory on a network.
func TestTwoNodes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	node := func() *boltstore.Engine {
		cache := filepath.Join(t.TempDir(), "cache")
		onlyHome := func(path string) (string, bool, error) { return "nfs", !strings.HasPrefix(path, dir), nil }
		eng, err := boltstore.Open(t.Context(), filepath.Join(dir, "keystore"), boltstore.Options{
			CacheDir: cache, FSType: onlyHome,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = eng.Close() })
		return eng
	}
	first, second := node(), node()
	a := create(t, first)
	b := reopen(t, second, byPhrase("first"))
	put(t, a.Engine(), hidden, "cern", "from a")
	if got, err := get(t, b.Engine(), hidden, "cern"); got != "from a" || err != nil {
		t.Errorf("b reads %q, %v", got, err)
	}
	put(t, b.Engine(), hidden, "egi", "from b")
	if _, err := b.AddSlot(t.Context(), phrase("second")); err != nil {
		t.Fatal(err)
	}
	// The other node's slot is seen, so it is not lost: its credential is asked for.
	o := RekeyOptions{Keep: []Credential{byPhrase("first")}}
	if err := a.Rekey(t.Context(), o); !errors.Is(err, ErrSlotsUncovered) {
		t.Errorf("got %v", err)
	}
	o.Keep = append(o.Keep, byPhrase("second"))
	if err := a.Rekey(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, b.Engine(), hidden, "cern"); !errors.Is(err, ErrRekeyed) {
		t.Errorf("b after the rekey: %v", err)
	}
	again := reopen(t, second, byPhrase("second"))
	if got, err := get(t, again.Engine(), hidden, "egi"); got != "from b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
