package custody

import (
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/store"
)

// A node that has lost its lease while it waited for the provider does not send a token again before it has got the
// lease back: another node is refreshing.
func TestSecondAttemptNeedsTheLease(t *testing.T) {
	in(t, func(t *testing.T) {
		b, eng := newBrokenBed(t)
		b.op.rotation = grace
		other := New(eng.Engine, Options{Timeout: time.Minute})
		eng.renews = store.ErrFenced
		b.Keeper.opts.Timeout = time.Minute
		b.op.fail(lost)
		b.op.delay = 20 * time.Second // longer than the lease
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- b.refresh() }()
		time.Sleep(16 * time.Second)
		go func() {
			_, err := other.Refresh(t.Context(), id, b.op, flow.Request{})
			second <- err
		}()
		time.Sleep(10 * time.Second) // the first answer is lost, the second node's is on its way
		if calls, _, _ := b.op.seen(); calls != 2 {
			t.Errorf("%d calls: the token was sent without the lease", calls)
		}
		if err := <-second; err != nil {
			t.Errorf("the second node: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("the first node: %v", err)
		}
		b.alive()
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
