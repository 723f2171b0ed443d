package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
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

func (m *mortal) View(ctx context.Context, fn func(store.Tx) error) error {
	if m.left <= 0 {
		return errDead
	}
	return m.Engine.View(ctx, fn)
}

// crashes runs a story once for each change that a process makes in it, which dies just before or just after that one,
// until it lives to the end. The story is told how often it dies in it.
func crashes(t *testing.T, o Options, story func(t *testing.T, b *bed, mortals func() *Ledger)) {
	t.Helper()
	for n, died := 1, true; died; n++ {
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("before_change_%d", n)
			if after {
				name = fmt.Sprintf("after_change_%d", n)
			}
			t.Run(name, func(t *testing.T) {
				b := newBed(t, memstore.New(), o)
				var m *mortal
				story(t, b, func() *Ledger {
					m = &mortal{Engine: b.eng, left: n, after: after}
					l := New(m, b.options(o))
					t.Cleanup(func() { _ = l.Close(context.Background()) })
					return l
				})
				died = m.left <= 0
			})
		}
		if n > 40 {
			t.Fatal("the story does not end")
		}
	}
}

// A mytoken with a limit of three is used, hands one on and ends. Whoever takes over never finds more than three, and
// nothing handed out that is not on record.
func TestCrashInUse(t *testing.T) {
	crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
		jwt, tok := b.begin(limit(3), nil)
		dead := mortals()
		got := 0
		for range 2 {
			if _, _, err := access(t.Context(), dead, b.op, jwt); err == nil {
				got++
			}
		}
		if child, _, err := sub(t.Context(), dead, b.minter, jwt, limit(1)); err == nil {
			if _, _, err := b.access(child); err == nil {
				got++
			}
		}
		b.clock.move(10 * time.Minute)
		b.sweep()
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
			t.Errorf("%d access tokens, %d calls, %+v", got, b.op.calls, c)
		}
	})
}

func (b *bed) sweep() {
	b.t.Helper()
	if _, err := b.Sweep(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// A login is kept as a whole or not at all, and of what was not kept nothing stays.
func TestCrashInBegin(t *testing.T) {
	crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
		jwt, c := b.issue(nil, nil)
		_, err := mortals().Begin(t.Context(), Login{Refresh: secretOf(firstRT)}, Grant{JWT: jwt, Claims: c})
		got, _, use := b.access(jwt)
		switch {
		case use == nil && got == "access-1": // it is there, whatever the process came to say
			if _, err := b.present(jwt).Revoke(t.Context(), "", true, origin()); err != nil {
				t.Error(err)
			}
			b.clock.move(b.o.Retention + time.Hour)
		case err == nil || !errors.Is(use, ErrUnknown) || b.op.calls > 0:
			t.Errorf("begin: %v; then %q, %v", err, got, use)
		default:
			b.clock.move(pendingFor + time.Minute)
		}
		b.sweep()
		b.empty()
	})
}

// Who did not get an answer asks again and goes on: the line lives, and of three uses there are not more.
func TestCrashInRotation(t *testing.T) {
	crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
		jwt, tok := b.begin(limit(9), rotating())
		dead := mortals()
		for i := range 3 {
			_, n, err := access(t.Context(), dead, b.op, jwt)
			if err != nil {
				_, n, err = b.access(jwt)
			}
			if err != nil || n == nil || n.Claims.SeqNo != int64(i)+2 {
				t.Fatalf("use %d: %+v, %v", i, n, err)
			}
			jwt = n.JWT
		}
		b.clock.move(10 * time.Minute)
		b.sweep()
		if _, n, err := b.access(jwt); err != nil || n.Claims.SeqNo != 5 {
			t.Errorf("%+v, %v", n, err)
		}
		now, err := b.Find(t.Context(), tok.MOMID)
		if c := now.Counters[onlyKey(now)]; err != nil || c.Used < 4 || c.Taken() > 5 || c.Held != 0 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// A code is there with what was put under it last, or gone, and goes with its owner.
func TestCrashInCodes(t *testing.T) {
	crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
		_, tok := b.begin(nil, nil)
		dead := mortals()
		c, err := dead.MakeCode(t.Context(), NewCode{Kind: ShortToken, Data: []byte("1"), Secret: secretOf("one"), Owner: tok.MOMID})
		if err == nil {
			put := dead.PutCode(t.Context(), c.Handle, []byte("2"), secretOf("two"))
			_, take := dead.TakeCode(t.Context(), ShortToken, c.Text)
			got, err := b.LookCode(t.Context(), ShortToken, c.Text)
			pair := string(got.Data) + got.Secret.Expose()
			switch {
			case errors.Is(err, ErrUnknown) && put == nil: // taken, and perhaps nobody was told
			case err != nil || take == nil:
				t.Errorf("put: %v, take: %v, then %v", put, take, err)
			case put == nil && pair != "2two", pair != "1one" && pair != "2two":
				t.Errorf("put: %v, then %q", put, pair)
			}
		}
		if _, err := b.Revoke(t.Context(), tok.MOMID, true, ""); err != nil {
			t.Fatal(err)
		}
		b.clock.move(b.o.Retention + time.Hour)
		b.sweep()
		b.empty()
	})
}

// An erasure that began is finished, and one that did not begin has removed nothing.
func TestCrashInErasure(t *testing.T) {
	crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
		jwt, tok := b.begin(nil, nil)
		for range 70 { // more rows than one transaction takes
			if _, _, err := b.access(jwt); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = b.sub(jwt, nil)
		_, _ = b.begin(limit(2), nil)
		if _, err := b.MakeCode(t.Context(), NewCode{Kind: ShortToken, Owner: tok.MOMID}); err != nil {
			t.Fatal(err)
		}
		erased := mortals().Erase(t.Context(), tok.User)
		u, err := b.User(t.Context(), tok.User)
		switch {
		case errors.Is(err, ErrUnknown): // all is gone
		case err != nil || erased == nil:
			t.Errorf("erase: %v, then %+v, %v", erased, u, err)
		case u.Erasing:
			fresh, c := b.issue(nil, nil)
			if _, err := b.Begin(t.Context(), Login{Refresh: secretOf("new")}, Grant{JWT: fresh, Claims: c}); !errors.Is(err, ErrErased) {
				t.Errorf("a new login in the middle: %v", err)
			}
			b.sweep()
		default:
			if all, err := b.List(t.Context(), tok.User); err != nil || len(all) != 3 {
				t.Errorf("%d mytokens, %v", len(all), err)
			}
			if _, _, err := b.access(jwt); err != nil {
				t.Error(err)
			}
			if err := b.Erase(t.Context(), tok.User); err != nil {
				t.Error(err)
			}
		}
		b.empty()
	})
}

// What a sub-token leaves goes back once, whatever became of the first attempt to end it; and with the last mytoken its
// refresh token goes.
func TestCrashInRevocation(t *testing.T) {
	for name, recursive := range map[string]bool{"with_all_below": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			crashes(t, Options{}, func(t *testing.T, b *bed, mortals func() *Ledger) {
				parent, pt := b.begin(limit(10), nil)
				child, ct := b.sub(parent, limit(6))
				if _, _, err := b.access(child); err != nil {
					t.Fatal(err)
				}
				dead := mortals()
				_, first := dead.Revoke(t.Context(), ct.MOMID, recursive, "")
				if _, _, err := b.access(child); first == nil && !errors.Is(err, ErrRevoked) {
					t.Errorf("after it was revoked: %v", err)
				}
				if _, err := b.Revoke(t.Context(), ct.MOMID, recursive, ""); err != nil {
					t.Fatal(err)
				}
				n := slices.IndexFunc(make([]int, 20), func(int) bool { _, _, err := b.access(parent); return err != nil })
				if n < 8 || n > 9 { // one use of the child, or two where it was used after the process died
					t.Errorf("%d uses are left", n)
				}
				_, last := dead.Revoke(t.Context(), pt.MOMID, recursive, "")
				if _, err := b.Revoke(t.Context(), pt.MOMID, recursive, ""); err != nil {
					t.Fatal(err)
				}
				b.sweep()
				if rows := custodyRows(t, b.inner); rows > 0 {
					t.Errorf("the refresh token is still there after %v", last)
				}
			})
		})
	}
}

// A sweep that dies is gone on with.
func TestCrashInSweep(t *testing.T) {
	o := Options{Retention: 24 * time.Hour}
	crashes(t, o, func(t *testing.T, b *bed, mortals func() *Ledger) {
		jwt, tok := b.begin(mytoken.Restrictions{{Expires: mytoken.At(b.clock.now().Add(time.Hour))}}, rotating())
		if _, _, err := b.access(jwt); err != nil {
			t.Fatal(err)
		}
		if _, err := b.MakeCode(t.Context(), NewCode{Kind: ShortToken, Owner: tok.MOMID, Secret: secret.FromString("x")}); err != nil {
			t.Fatal(err)
		}
		dead := mortals()
		b.clock.move(2 * time.Hour)
		_, _ = dead.Sweep(t.Context())
		b.clock.move(48 * time.Hour)
		_, _ = dead.Sweep(t.Context())
		b.sweep()
		b.empty()
	})
}
