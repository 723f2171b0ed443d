package custody

import (
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// TestLearn: a login that moves to another keeper takes along which of its tokens were replaced.
func TestLearn(t *testing.T) {
	ctx := t.Context()
	from, to := New(memstore.New(), Options{}), New(memstore.New(), Options{})
	text := secret.FromString
	put := func(k *Keeper, rt string) {
		t.Helper()
		if err := k.Put(ctx, "a", text(rt)); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Learn(ctx, "a", from); err != nil {
		t.Errorf("from one that knows nothing: %v", err)
	}
	for _, rt := range []string{"one", "two", "three"} {
		put(from, rt)
	}
	if err := to.Learn(ctx, "a", from); !errors.Is(err, ErrUnknownLogin) {
		t.Errorf("a login that is not here: %v", err)
	}
	put(to, "old")
	put(to, "three")
	if err := to.Learn(ctx, "a", from); err != nil {
		t.Fatal(err)
	}
	for rt, want := range map[string]bool{"one": true, "two": true, "old": true, "three": false, "other": false} {
		got, err := to.Superseded(ctx, "a", text(rt))
		if err != nil || got != want {
			t.Errorf("%s is replaced: %v, %v", rt, got, err)
		}
	}
	put(to, "four")
	if err := to.Learn(ctx, "a", from); err != nil {
		t.Fatal(err)
	}
	if err := to.Put(ctx, "a", text("three")); !errors.Is(err, ErrSuperseded) {
		t.Errorf("what was current there: %v", err)
	}
	if rt, err := to.Token(ctx, "a"); err != nil || !rt.Equal(text("four")) {
		t.Errorf("the current token was changed: %v", err)
	}
}
