package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

var errDead = errors.New("the process has died")

// mortal dies at its n-th Update, just before or just after it took effect.
type mortal struct {
	store.Engine
	left  int
	after bool
}

func (m *mortal) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if m.left--; m.left < 0 || m.left == 0 && !m.after {
		return errDead
	}
	err := m.Engine.Update(ctx, fn, held...)
	if m.left == 0 {
		return errDead
	}
	return err
}

// A process dies at each change it makes, just before or after, while a mytoken with a limit of three is used, hands one
// on and ends. Whoever takes over never finds more than three, and nothing handed out that is not on record.
func TestCrashAtEachChange(t *testing.T) {
	for n := 1; n <= 12; n++ {
		for _, after := range []bool{false, true} {
			b := newBed(t, memstore.New(), Options{})
			jwt, tok := b.begin(limit(3), nil)
			dead := New(&mortal{Engine: b.eng, left: n, after: after}, b.options(Options{}))
			got := 0
			for range 2 {
				if _, _, err := access(t.Context(), dead, b.op, jwt); err == nil {
					got++
				}
			}
			child, _, err := sub(t.Context(), dead, b.minter, jwt, limit(1))
			if err == nil {
				if _, _, err := b.access(child); err == nil {
					got++
				}
			}
			b.clock.move(10 * time.Minute)
			if _, err := b.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if _, _, err := b.access(jwt); err == nil {
					got++
				}
			}
			now, err := b.Find(t.Context(), tok.MOMID)
			if err != nil {
				t.Fatal(err)
			}
			if c := now.Counters[onlyKey(now)]; got > 3 || c.Taken() != 3 || c.Held != 0 || b.op.calls > 3 {
				t.Errorf("change %d, after %v: %d access tokens, %d calls, %+v", n, after, got, b.op.calls, c)
			}
		}
	}
}
