package keystore

import (
	"context"
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/clone"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// stopping fails at its n-th change.
type stopping struct {
	*memstore.Engine
	left int
}

var errStopped = errors.New("stopped")

func (s *stopping) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if s.left--; s.left < 0 {
		return errStopped
	}
	return s.Engine.Update(ctx, fn, held...)
}

// What opens a keystore opens its copy; half a copy cannot be opened, and nothing else be created in its place.
func TestCopyOfAKeystore(t *testing.T) {
	from, to := memstore.New(), memstore.New()
	k := create(t, from)
	put(t, k.Engine(), hidden, "alice", "secret")
	put(t, k.Engine(), open, "note", "text")
	o := clone.Options{Mark: CopyMark()}
	if _, err := clone.Run(t.Context(), from, &stopping{to, 2}, o); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), to, newVault(t), byPhrase("first")); !errors.Is(err, ErrHalfCopy) {
		t.Errorf("open half a copy: %v", err)
	}
	if _, err := Inspect(t.Context(), to); !errors.Is(err, ErrHalfCopy) {
		t.Errorf("inspect half a copy: %v", err)
	}
	if _, err := Create(t.Context(), to, newVault(t), phrase("other")); !errors.Is(err, ErrExists) {
		t.Errorf("create over half a copy: %v", err)
	}
	if _, err := clone.Run(t.Context(), from, to, o); err != nil {
		t.Fatal(err)
	}
	c := reopen(t, to, byPhrase("first"))
	for _, tab := range []store.Table{hidden, open} {
		key, want := "alice", "secret"
		if tab.Name == open.Name {
			key, want = "note", "text"
		}
		if got, err := get(t, c.Engine(), tab, key); err != nil || got != want {
			t.Errorf("%s: %q, %v", tab.Name, got, err)
		}
	}
	if n, err := c.Check(t.Context()); err != nil || n != 2 {
		t.Errorf("%d records, %v", n, err)
	}
	if _, err := clone.Run(t.Context(), from, to, o); !errors.Is(err, clone.ErrNotEmpty) {
		t.Errorf("over a keystore: %v", err)
	}
}
