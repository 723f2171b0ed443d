package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/oidcbox/oidcbox/store"
)

// BenchmarkRawFsync is the price of durability on this disk, to compare the others with.
func BenchmarkRawFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	kib := make([]byte, 1024)
	for b.Loop() {
		if _, err := f.WriteAt(kib, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func issue(b *testing.B, e *Engine, n int64) {
	b.Helper()
	id := strconv.FormatInt(n%1000, 10)
	err := e.Update(b.Context(), func(w store.WTx) error {
		if _, err := w.Get(texts, store.Key{"parent"}); err != nil {
			return err
		}
		if err := w.Put(texts, store.Record{Key: store.Key{"t", id}, Value: make([]byte, 512)}); err != nil {
			return err
		}
		return w.Put(texts, store.Record{Key: store.Key{"e", id}, Value: make([]byte, 100)})
	})
	if err != nil {
		b.Error(err)
	}
}

func benchEngine(b *testing.B) *Engine {
	b.Helper()
	e := mustOpen(b, tempPath(b), Options{})
	if err := putText(b.Context(), e, "parent", "p"); err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkUpdate is one read and two writes, durable.
func BenchmarkUpdate(b *testing.B) {
	b.Run("lone", func(b *testing.B) {
		e := benchEngine(b)
		for n := int64(0); b.Loop(); n++ {
			issue(b, e, n)
		}
	})
	b.Run("64_writers", func(b *testing.B) {
		e := benchEngine(b)
		var n atomic.Int64
		b.SetParallelism(32) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				issue(b, e, n.Add(1))
			}
		})
	})
	b.Run("network", func(b *testing.B) {
		path := tempPath(b)
		e := mustOpen(b, path, Options{FSType: network(filepath.Dir(path)), CacheDir: newCache(b)})
		if err := putText(b.Context(), e, "parent", "p"); err != nil {
			b.Fatal(err)
		}
		for n := int64(0); b.Loop(); n++ {
			issue(b, e, n)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	e := benchEngine(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := getText(b.Context(), e, "parent"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	path := made(b, "person")
	for b.Loop() {
		e, err := Open(b.Context(), path, Options{Role: "person"})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBbolt is the same change by bbolt alone.
func BenchmarkBbolt(b *testing.B) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for n := 0; b.Loop(); n++ {
		err := db.Update(func(t *bolt.Tx) error {
			texts, err := t.CreateBucketIfNotExists([]byte("t"))
			if err != nil {
				return err
			}
			id := strconv.Itoa(n % 1000)
			return errors.Join(texts.Put([]byte("t"+id), make([]byte, 512)), texts.Put([]byte("e"+id), make([]byte, 100)))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
