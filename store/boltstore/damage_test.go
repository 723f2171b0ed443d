package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/oidcbox/oidcbox/store"
)

// exercise uses everything of a store that may be damaged. It must neither panic nor fault.
func exercise(ctx context.Context, e *Engine) error {
	scanned := e.Check(ctx)
	err := e.View(ctx, func(t store.Tx) error {
		for _, k := range []string{"a", "b", "c", "17"} {
			if _, err := t.Get(texts, store.Key{k}); err != nil && !errors.Is(err, store.ErrNotFound) {
				scanned = errors.Join(scanned, err)
			}
		}
		for _, err := range t.Scan(texts, nil) {
			scanned = errors.Join(scanned, err)
		}
		return nil
	})
	return errors.Join(err, scanned, putText(ctx, e, "z", "z"), e.Check(ctx))
}

// Any byte may be wrong: the file is refused or used, and the process lives.
func TestDamagedBytes(t *testing.T) {
	path := tempPath(t)
	e := mustOpen(t, path, Options{})
	for i := range 300 {
		if err := putText(t.Context(), e, strconv.Itoa(i), strconv.Itoa(i)+filler); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	whole := read(t, path)
	refused := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := append([]byte{}, whole...)
		for range 1 + r.IntN(3) {
			p := r.IntN(len(b)/pageSize)*pageSize + r.IntN(64) // where the structure is
			b[p] ^= byte(1 + r.IntN(255))
		}
		if !openDamaged(t, filepath.Join(t.TempDir(), "d"), b) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was found at all")
	}
	t.Logf("%d of 400 damaged files refused at once", refused)
}

// openDamaged uses a store with these bytes, and reports whether it opened.
func openDamaged(t *testing.T, dir string, b []byte) bool {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keystore")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), path, Options{})
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrVersion) {
			t.Fatalf("open: %v", err)
		}
		return false
	}
	if err := exercise(t.Context(), e); err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("use: %v", err)
	}
	_ = e.Close()
	return true
}

// A file that loses its pages while it is mapped would end the process with SIGBUS.
func TestCutOffWhileOpen(t *testing.T) {
	path := tempPath(t)
	e := mustOpen(t, path, Options{})
	for i := range 200 {
		if err := putText(t.Context(), e, strconv.Itoa(i), filler); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, headSize); err != nil {
		t.Fatal(err)
	}
	if _, err := getText(t.Context(), e, "17"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("get: %v, want ErrCorrupt", err)
	}
	if err := putText(t.Context(), e, "17", "x"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("update: %v, want ErrCorrupt", err)
	}
	if err := e.Check(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("check: %v, want ErrCorrupt", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	// The lock is free again, though the store was broken when it was closed.
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("open: %v, want ErrCorrupt", err)
	}
}

// The same in the middle of a commit, where bbolt holds its locks.
func TestCutOffBeforeUpdate(t *testing.T) {
	path := tempPath(t)
	e := mustOpen(t, path, Options{})
	for i := range 200 {
		if err := putText(t.Context(), e, strconv.Itoa(i), filler); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 3*pageSize); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := putText(t.Context(), e, "17", "x"); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("update: %v, want ErrCorrupt", err)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func FuzzInspect(f *testing.F) {
	path := made(f, "person")
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:headSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		h, err := parseHead(b[:min(len(b), headSize)], int64(len(b)))
		if err == nil {
			err = walk(b[:h.high*pageSize], h, func(string, []byte, []byte) {})
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%v, want ErrCorrupt", err)
		}
	})
}

// Above fullCheckSize the tree is not walked beforehand, and above mapSize the map must grow.
func TestLargeFile(t *testing.T) {
	path := tempPath(t)
	e := mustOpen(t, path, Options{Role: "person"})
	value := make([]byte, store.MaxValue)
	for n := range 10 {
		err := e.Update(t.Context(), func(w store.WTx) error {
			for i := range store.MaxWrites {
				r := store.Record{Key: store.Key{strconv.Itoa(n), strconv.Itoa(i)}, Value: value}
				if err := w.Put(texts, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if info, err := Peek(path); err != nil || info.Role != "" || info.Size < mapSize {
		t.Errorf("peek beside the holder: %+v, %v", info, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := Peek(path); err != nil || info.Role != "person" || info.Tables != nil {
		t.Errorf("peek: %+v, %v", info, err)
	}
	for _, spoil := range []func(b []byte){wildPointers, wipe} {
		b := read(t, path)
		spoil(b)
		if openDamaged(t, filepath.Join(t.TempDir(), "d"), b) {
			t.Log("the damaged file opens")
		}
	}
}

// wildPointers makes the first entry of every branch page point far out of the file.
func wildPointers(b []byte) {
	for p := headSize; p+pageSize <= len(b); p += pageSize {
		id, flags := binary.NativeEndian.Uint64(b[p:]), binary.NativeEndian.Uint16(b[p+8:])
		if id == uint64(p/pageSize) && flags == flagBranch {
			binary.NativeEndian.PutUint64(b[p+headerSize+8:], 1<<40)
		}
	}
}

// wipe overwrites everything but the head with bytes that point everywhere.
func wipe(b []byte) {
	for i := range b[headSize:] {
		b[headSize+i] = 0xA5
	}
}
