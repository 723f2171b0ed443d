package ledger

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

func rotating() *mytoken.Rotation { return &mytoken.Rotation{OnAT: true, AutoRevoke: true} }

func TestRotation(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		first, tok := b.begin(nil, rotating())
		child, _ := b.sub(first, nil)
		forged, _, err := b.minter.Rotate(mustClaims(t, first), b.clock.now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Present(t.Context(), forged, origin()); !errors.Is(err, ErrInvalid) {
			t.Errorf("the next of the line, made by somebody with the server's key: %v", err)
		}
		_, n, err := b.access(first)
		if err != nil || n == nil || n.Claims.SeqNo != 2 || n.Claims.MOMID() != tok.MOMID {
			t.Fatalf("%+v, %v", n, err)
		}
		if _, err := b.Present(t.Context(), forged, origin()); !errors.Is(err, ErrInvalid) {
			t.Errorf("another with the number of the newest: %v", err)
		}
		// The answer was lost: the same is given again, and the use counts.
		_, again, err := b.access(first)
		if err != nil || again == nil || !again.JWT.Equal(n.JWT) {
			t.Fatalf("%+v, %v", again, err)
		}
		if b.op.calls != 2 {
			t.Errorf("%d calls", b.op.calls)
		}
		_, third, err := b.access(n.JWT)
		if err != nil || third.Claims.SeqNo != 3 {
			t.Fatalf("%+v, %v", third, err)
		}
		// The newest was used, so who still has the first is somebody else: everything ends.
		if _, _, err := b.access(first); !errors.Is(err, ErrReplaced) {
			t.Errorf("reuse: %v", err)
		}
		if _, _, err := b.access(third.JWT); !errors.Is(err, ErrRevoked) {
			t.Errorf("the newest after reuse: %v", err)
		}
		if _, _, err := b.access(child); !errors.Is(err, ErrRevoked) {
			t.Errorf("a child after reuse: %v", err)
		}
	})
}

func mustClaims(t *testing.T, jwt secret.Text) mytoken.Claims {
	t.Helper()
	c, err := claimsOf(jwt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReplacedOutsideItsWindow(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		for name, auto := range map[string]bool{"ends_the_line": true, "is_refused": false} {
			t.Run(name, func(t *testing.T) {
				b := newBed(t, inner, Options{})
				first, _ := b.begin(nil, &mytoken.Rotation{OnAT: true, AutoRevoke: auto})
				_, n, err := b.access(first)
				if err != nil {
					t.Fatal(err)
				}
				b.clock.move(11 * time.Second)
				if _, _, err := b.access(first); !errors.Is(err, ErrReplaced) {
					t.Errorf("%v", err)
				}
				_, _, err = b.access(n.JWT)
				if auto != errors.Is(err, ErrRevoked) {
					t.Errorf("the newest: %v", err)
				}
			})
		}
	})
}

// All of many at once get the same new mytoken, one rotation takes place and nothing is revoked.
func TestRotationAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		first, tok := b.begin(nil, rotating())
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			got = map[string]int{}
		)
		for range 50 {
			wg.Go(func() {
				_, n, err := b.access(first)
				if err != nil || n == nil {
					t.Errorf("%v, %v", n, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got[n.JWT.Expose()]++
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Errorf("%d different mytokens", len(got))
		}
		now, err := b.Find(t.Context(), tok.MOMID)
		if err != nil || now.SeqNo != 2 || now.Condition != Live {
			t.Errorf("%+v, %v", now, err)
		}
		for jwt := range got {
			if _, _, err := b.access(secretOf(jwt)); err != nil {
				t.Error(err)
			}
		}
	})
}

// The provider takes longer than the window: who was in time gets the answer.
func TestRotationBehindASlowProvider(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		first, _ := b.begin(nil, rotating())
		b.op.during = sync.OnceFunc(func() {
			p := b.present(first)
			r, err := p.Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{})
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := r.Commit(t.Context(), Event{Name: "AT_created"}); err != nil || n == nil {
				t.Errorf("%v, %v", n, err)
			}
			b.clock.move(time.Minute)
		})
		if _, n, err := b.access(first); err != nil || n == nil || n.Claims.SeqNo != 2 {
			t.Errorf("%+v, %v", n, err)
		}
	})
}

func TestRevokedWhileTheProviderAnswers(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		jwt, tok := b.begin(limit(5), nil)
		b.op.during = func() {
			if _, err := b.Revoke(t.Context(), tok.MOMID, true, "by the operator"); err != nil {
				t.Error(err)
			}
		}
		if got, _, err := b.access(jwt); !errors.Is(err, ErrRevoked) || got != "" {
			t.Errorf("%q, %v", got, err)
		}
		now, err := b.Find(t.Context(), tok.MOMID)
		if err != nil || now.Counters[rules.CounterKey{Clause: rules.KeyOf(limit(5)[0]), Kind: rules.Access}].Used != 1 {
			t.Errorf("%+v, %v", now, err)
		}
	})
}
