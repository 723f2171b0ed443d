package boltstore

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/storetest"
)

func tempPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "state", "keystore")
}

func mustOpen(tb testing.TB, path string, o Options) *Engine {
	tb.Helper()
	e, err := Open(context.Background(), path, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// network says that a directory is on a network file system, and all others are local.
func network(dir string) func(string) (string, bool, error) {
	return func(path string) (string, bool, error) {
		rel, err := filepath.Rel(dir, path)
		if err == nil && filepath.IsLocal(rel) {
			return "nfs", false, nil
		}
		return "ext", true, nil
	}
}

func TestContractLocal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Engine { return mustOpen(t, tempPath(t), Options{}) })
}

func TestContractNetwork(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Engine {
		path := tempPath(t)
		return mustOpen(t, path, Options{FSType: network(filepath.Dir(path)), CacheDir: filepath.Join(t.TempDir(), "cache")})
	})
}
