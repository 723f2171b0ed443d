package custody

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const id = "wlcg"

// bed is a keeper with one login before a provider.
type bed struct {
	*Keeper
	t   *testing.T
	op  *op
	eng store.Engine
}

func newBed(t *testing.T, r rotation) *bed {
	t.Helper()
	b := &bed{t: t, op: newOP(r), eng: memstore.New()}
	b.Keeper = b.node()
	if err := b.Put(t.Context(), id, b.op.first()); err != nil {
		t.Fatal(err)
	}
	return b
}

// node is another keeper on the same store.
func (b *bed) node() *Keeper {
	k := New(b.eng, Options{Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)), Timeout: 5 * time.Second})
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil && !errors.Is(err, ErrNotSaved) {
			b.t.Errorf("close: %v", err)
		}
	})
	return k
}

func (b *bed) refresh(scope ...string) error {
	_, err := b.Refresh(b.t.Context(), id, b.op, flow.Request{Scope: scope})
	return err
}

func (b *bed) mustRefresh(scope ...string) {
	b.t.Helper()
	if err := b.refresh(scope...); err != nil {
		b.t.Fatalf("refresh: %v", err)
	}
}

func (b *bed) state() State {
	b.t.Helper()
	s, err := b.State(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// alive fails the test unless the kept refresh token is good at the provider.
func (b *bed) alive() {
	b.t.Helper()
	rt, err := b.Token(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if !b.op.alive(rt) {
		b.t.Fatalf("the login is lost: the kept token %s is not good any more", rt.ID())
	}
}

// in runs fn in a bubble of synctest, where time is free.
func in(t *testing.T, fn func(t *testing.T)) { synctest.Test(t, fn) }

func TestRefresh(t *testing.T) {
	for name, r := range map[string]rotation{"strict": strict, "grace": grace, "keeping": keeping} {
		t.Run(name+"_provider_ten_in_a_row", func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, r)
				for range 10 {
					b.mustRefresh()
				}
				b.alive()
				if _, reused, _ := b.op.seen(); reused != 0 {
					t.Errorf("%d superseded tokens were sent", reused)
				}
			})
		})
	}
}

func TestRefreshTokenStaysHere(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		tokens, err := b.Refresh(t.Context(), id, b.op, flow.Request{})
		if err != nil || tokens.Access.Empty() {
			t.Fatalf("access token empty %v, %v", tokens.Access.Empty(), err)
		}
		if !tokens.Refresh.Empty() {
			t.Error("the refresh token was handed out with the access token")
		}
	})
}

func TestLearning(t *testing.T) {
	t.Run("keeps_after_three_answers", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, keeping)
			for i := range 3 {
				if h := b.state().Habit; h != HabitUnknown {
					t.Fatalf("after %d: %v", i, h)
				}
				b.mustRefresh()
			}
			if h := b.state().Habit; h != HabitKeeps {
				t.Fatalf("after 3: %v", h)
			}
		})
	})
	t.Run("rotates_after_one", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.mustRefresh()
			if h := b.state().Habit; h != HabitRotates {
				t.Fatal(h)
			}
		})
	})
	t.Run("a_provider_that_begins_to_rotate_is_believed", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, keeping)
			if err := b.SetHabit(t.Context(), id, HabitKeeps); err != nil {
				t.Fatal(err)
			}
			b.op.rotation = strict
			b.mustRefresh()
			if h := b.state().Habit; h != HabitRotates {
				t.Fatal(h)
			}
			b.mustRefresh()
			b.alive()
		})
	})
}

func TestSideBySide(t *testing.T) {
	for name, test := range map[string]struct {
		rotation rotation
		habit    Habit
		widest   int
	}{
		"keeps_runs_all_at_once":        {keeping, HabitKeeps, 10},
		"unknown_runs_one_at_a_time":    {keeping, HabitUnknown, 1},
		"rotates_runs_one_at_a_time":    {strict, HabitRotates, 1},
		"rotates_with_grace_one_by_one": {grace, HabitRotates, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, test.rotation)
				if err := b.SetHabit(t.Context(), id, test.habit); err != nil {
					t.Fatal(err)
				}
				b.op.delay = time.Second
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						if err := b.refresh(fmt.Sprint("scope", i)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				calls, _, widest := b.op.seen()
				if widest < test.widest || test.widest == 1 && widest != 1 || calls != 10 {
					t.Errorf("%d calls, %d at a time; want 10, %d", calls, widest, test.widest)
				}
				b.alive()
			})
		})
	}
}

// A provider thought to keep refresh tokens begins to rotate in the middle of ten requests side by side.
func TestSurpriseRotation(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, grace)
		if err := b.SetHabit(t.Context(), id, HabitKeeps); err != nil {
			t.Fatal(err)
		}
		b.op.delay = time.Second
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if err := b.refresh(fmt.Sprint("scope", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// The answers were saved in some order; whichever token was first, the newest one must be found.
		b.op.delay = 0
		for range 5 {
			b.mustRefresh()
		}
		b.alive()
	})
}

func TestHundredCallers(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		b.op.delay = 20 * time.Millisecond
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				tokens, err := b.Refresh(t.Context(), id, b.op, flow.Request{Scope: []string{fmt.Sprint("s", i%10)}})
				if err != nil {
					t.Error(err)
					return
				}
				if !strings.Contains(tokens.Access.Expose(), fmt.Sprint("s", i%10)) {
					t.Errorf("caller %d got a token for something else", i)
				}
				tokens.Wipe() // must not take the token from those who share the answer
			})
		}
		wg.Wait()
		calls, reused, widest := b.op.seen()
		if reused != 0 || widest != 1 {
			t.Errorf("%d superseded tokens seen, %d at a time", reused, widest)
		}
		if calls != 10 {
			t.Errorf("%d calls for 10 different requests", calls)
		}
		b.alive()
	})
}

func TestTwoNodes(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		b.op.delay = 10 * time.Millisecond
		nodes := []*Keeper{b.Keeper, b.node()}
		var wg sync.WaitGroup
		for n, k := range nodes {
			for i := range 50 {
				wg.Go(func() {
					_, err := k.Refresh(t.Context(), id, b.op, flow.Request{Scope: []string{fmt.Sprint(n, i)}})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if calls, reused, widest := b.op.seen(); reused != 0 || widest != 1 || calls != 100 {
			t.Errorf("%d calls, %d superseded, %d at a time", calls, reused, widest)
		}
		b.alive()
	})
}

func TestScopeOrderIsOneRequest(t *testing.T) {
	a, _ := requestHash(flow.Request{Scope: []string{"b", "a"}})
	b, _ := requestHash(flow.Request{Scope: []string{"a", "b"}})
	c, _ := requestHash(flow.Request{Scope: []string{"a b"}})
	d, _ := requestHash(flow.Request{Audience: []string{"a", "b"}})
	if a != b {
		t.Error("the order of scopes makes a difference")
	}
	if a == c || a == d {
		t.Error("different requests share a hash")
	}
}

func TestCallerLeaves(t *testing.T) {
	t.Run("the_answer_is_saved_all_the_same", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.delay = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := b.Refresh(ctx, id, b.op, flow.Request{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			b.mustRefresh("other")
			b.alive()
			if calls, reused, _ := b.op.seen(); calls != 2 || reused != 0 {
				t.Errorf("%d calls, %d superseded", calls, reused)
			}
		})
	})
	t.Run("what_still_waits_for_its_turn_is_not_sent", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.delay = time.Second
			var wg sync.WaitGroup
			wg.Go(func() { b.mustRefresh() })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			for i := range 20 {
				wg.Go(func() {
					_, err := b.Refresh(ctx, id, b.op, flow.Request{Scope: []string{fmt.Sprint(i)}})
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if calls, _, _ := b.op.seen(); calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	})
}

func TestPut(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		old, err := b.Token(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		b.mustRefresh()
		if err := b.Put(t.Context(), id, old); !errors.Is(err, ErrSuperseded) {
			t.Errorf("a superseded token was taken: %v", err)
		}
		b.alive()
		b.op.fail(refusal_)
		if err := b.refresh(); !errors.Is(err, ErrLoginAgain) {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), id, b.op.login()); err != nil {
			t.Fatal(err)
		}
		b.mustRefresh()
		b.alive()
		for name, bad := range map[string]secret.Text{"empty": {}, "huge": secret.New(make([]byte, maxToken+1))} {
			if err := b.Put(t.Context(), id, bad); !errors.Is(err, ErrBadToken) {
				t.Errorf("%s token: %v", name, err)
			}
		}
		for _, bad := range []string{"", strings.Repeat("x", maxID+1)} {
			if err := b.Put(t.Context(), bad, old); !errors.Is(err, ErrBadToken) {
				t.Errorf("id of %d bytes: %v", len(bad), err)
			}
		}
	})
}

// A person logs in anew while a refresh of the old login is in flight: the late answer must not take its place.
func TestPutDuringRefresh(t *testing.T) {
	for name, habit := range map[string]Habit{"alone": HabitRotates, "beside": HabitKeeps} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, strict)
				if err := b.SetHabit(t.Context(), id, habit); err != nil {
					t.Fatal(err)
				}
				b.op.delay = time.Second
				var wg sync.WaitGroup
				wg.Go(func() { _ = b.refresh() })
				synctest.Wait()
				other := newOP(strict)
				other.serial = 1000
				fresh := other.login()
				if err := b.Put(t.Context(), id, fresh); err != nil {
					t.Fatal(err)
				}
				wg.Wait()
				rt, err := b.Token(t.Context(), id)
				if err != nil || !rt.Equal(fresh) {
					t.Errorf("the new login's token was replaced by one of the old login (%v)", err)
				}
				if _, err := b.Refresh(t.Context(), id, other, flow.Request{}); err != nil {
					t.Error(err)
				}
				// Nor may it step in later: the old login may be another person's.
				other.fail(refusal_)
				if _, err := b.Refresh(t.Context(), id, other, flow.Request{}); !errors.Is(err, ErrLoginAgain) {
					t.Errorf("after a refusal: %v", err)
				}
				if calls, _, _ := other.seen(); calls != 2 {
					t.Errorf("%d calls to the new provider", calls)
				}
			})
		})
	}
}

func TestForgetDuringRefresh(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		b.op.delay = time.Second
		var wg sync.WaitGroup
		wg.Go(func() { _ = b.refresh() })
		synctest.Wait()
		if err := b.Forget(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if _, err := b.State(t.Context(), id); !errors.Is(err, ErrUnknownLogin) {
			t.Errorf("the login is back: %v", err)
		}
		if err := b.refresh(); !errors.Is(err, ErrUnknownLogin) {
			t.Error(err)
		}
	})
}

func TestSuperseded(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		ctx := t.Context()
		file := b.op.first() // as it lies in an account file
		for range 3 * maxOld {
			b.mustRefresh()
		}
		if old, err := b.Superseded(ctx, id, file); err != nil || !old {
			t.Errorf("the token of the account file is forgotten after %d rotations: %v, %v", 3*maxOld, old, err)
		}
		current, err := b.Token(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if old, err := b.Superseded(ctx, id, current); err != nil || old {
			t.Errorf("the current token counts as superseded: %v, %v", old, err)
		}
		for range 3 * maxOld {
			b.mustRefresh()
		}
		if old, err := b.Superseded(ctx, id, current); err != nil || !old {
			t.Errorf("a token that was exported is forgotten: %v, %v", old, err)
		}
		if old, err := b.Superseded(ctx, id, secret.FromString("never seen")); err != nil || old {
			t.Errorf("a token of somebody else: %v, %v", old, err)
		}
		if old, err := b.Superseded(ctx, "nobody", current); err != nil || old {
			t.Errorf("an unknown login: %v, %v", old, err)
		}
	})
}

func TestList(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		if err := b.Put(t.Context(), "other", secret.FromString("rt of another")); err != nil {
			t.Fatal(err)
		}
		b.op.fail(err503)
		if err := b.refresh(); err == nil {
			t.Fatal("503 is no error")
		}
		all, err := b.List(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatalf("%d logins, %v", len(all), err)
		}
		for _, l := range all {
			if pending := l.State.Pending != nil; pending != (l.ID == id) {
				t.Errorf("%s: pending %v", l.ID, pending)
			}
		}
	})
}

func TestClose(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		b.op.delay = time.Second
		var wg sync.WaitGroup
		wg.Go(func() { b.mustRefresh() })
		synctest.Wait()
		wg.Go(func() {
			if err := b.refresh("waits for its turn"); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := b.refresh(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		b.alive()
	})
}
