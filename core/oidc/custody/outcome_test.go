package custody

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/store"
)

// What one request that goes wrong leaves behind, and what the next one does.
func TestOutcome(t *testing.T) {
	for name, test := range map[string]struct {
		rotation rotation
		fault    fault
		again    bool // the first error is ErrLoginAgain
		ok       bool // the first is none
		pending  bool // after the first
		calls    int  // of the first
		next     bool // the second is none
	}{
		"answer_lost_grace":              {grace, lost, false, true, false, 2, true},
		"answer_lost_strict":             {strict, lost, true, false, false, 2, false},
		"answer_lost_keeping":            {keeping, lost, false, true, false, 2, true},
		"answer_too_late_grace":          {grace, slowLost, false, false, true, 1, true},
		"answer_too_late_strict":         {strict, slowLost, false, false, true, 1, false},
		"nobody_listens":                 {strict, before, false, false, false, 1, true},
		"unavailable":                    {strict, err503, false, false, true, 1, true},
		"failed_after_processing_grace":  {grace, err500, false, false, true, 1, true},
		"failed_after_processing_strict": {strict, err500, false, false, true, 1, false},
		"too_many_requests":              {strict, err429, false, false, false, 1, true},
		"scope_refused":                  {strict, badScope, false, false, false, 1, true},
		"grant_refused":                  {strict, refusal_, true, false, false, 1, false},
		"nonsense_with_a_refresh_token":  {strict, garbage, false, false, false, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, test.rotation)
				b.op.fail(test.fault)
				err := b.refresh()
				if (err == nil) != test.ok || errors.Is(err, ErrLoginAgain) != test.again {
					t.Errorf("first: %v", err)
				}
				if p := b.state().Pending; (p != nil) != test.pending {
					t.Errorf("pending: %+v", p)
				}
				if calls, _, _ := b.op.seen(); calls != test.calls {
					t.Errorf("%d calls, want %d", calls, test.calls)
				}
				err = b.refresh()
				if (err == nil) != test.next || !test.next && !errors.Is(err, ErrLoginAgain) {
					t.Errorf("second: %v", err)
				}
				if test.next {
					b.alive()
				}
				if s := b.state(); s.NeedsLogin == test.next {
					t.Errorf("needs login: %v (%s)", s.NeedsLogin, s.Reason)
				}
			})
		})
	}
}

// An answer does not arrive, and nobody asks again before the grace period is over.
func TestSettling(t *testing.T) {
	for name, test := range map[string]struct {
		rotation rotation
		faults   []fault
		calls    int
		alive    bool
	}{
		"grace":                        {grace, []fault{slowLost}, 2, true},
		"grace_lost_three_times":       {grace, []fault{slowLost, slowLost, slowLost}, 4, true},
		"strict_hears_it_at_once":      {strict, []fault{slowLost}, 2, false},
		"the_provider_said_it_is_down": {strict, []fault{err503}, 1, true},
		"nothing_was_sent":             {strict, []fault{before}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, test.rotation)
				b.op.fail(test.faults...)
				if err := b.refresh(); err == nil {
					t.Fatal("no error")
				}
				time.Sleep(time.Hour)
				if calls, _, _ := b.op.seen(); calls != test.calls {
					t.Errorf("%d calls, want %d", calls, test.calls)
				}
				if s := b.state(); s.NeedsLogin == test.alive {
					t.Errorf("needs login: %v", s.NeedsLogin)
				}
				if test.alive {
					b.mustRefresh()
					b.alive()
				}
			})
		})
	}
}

// A provider that is down for long must not cost the login, however often it is asked.
func TestLongOutage(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		for range 20 {
			b.op.fail(err503)
			if err := b.refresh(); err == nil || errors.Is(err, ErrLoginAgain) || !flow.Temporary(err) {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if p := b.state().Pending; p == nil || p.Attempt != 20 {
			t.Errorf("pending: %+v", p)
		}
		b.mustRefresh()
		b.alive()
	})
}

// An intent that was pending before is still pending after a request that could not be sent.
func TestPendingSurvivesUnsent(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		b.op.fail(err503, before, err429)
		for range 3 {
			if err := b.refresh(); err == nil {
				t.Fatal("no error")
			}
		}
		if p := b.state().Pending; p == nil || p.Attempt != 1 {
			t.Errorf("pending: %+v", p)
		}
	})
}

func TestLoginAgain(t *testing.T) {
	t.Run("wraps_what_the_provider_said_also_later", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.fail(refusal_)
			for range 2 {
				err := b.refresh()
				var said *flow.Error
				if !errors.Is(err, ErrLoginAgain) || !errors.As(err, &said) || said.Code != "invalid_grant" {
					t.Errorf("%v", err)
				}
			}
			if calls, _, _ := b.op.seen(); calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	})
	t.Run("try_again_after_an_outage", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.fail(refusal_)
			if err := b.refresh(); !errors.Is(err, ErrLoginAgain) {
				t.Fatal(err)
			}
			if err := b.TryAgain(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			b.mustRefresh()
			b.alive()
		})
	})
	t.Run("one_narrowed_request_does_not_end_the_others", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.fail(refusal_)
			for range 2 { // the second is not sent
				if err := b.refresh("odd"); !errors.Is(err, ErrLoginAgain) {
					t.Fatal(err)
				}
			}
			b.mustRefresh("openid")
			if b.state().NeedsLogin {
				t.Error("marked although the token is good")
			}
		})
	})
	t.Run("two_different_refusals_end_all", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, strict)
			b.op.fail(refusal_, refusal_)
			for _, scope := range []string{"a", "b", "c", "d"} {
				if err := b.refresh(scope); !errors.Is(err, ErrLoginAgain) {
					t.Fatal(err)
				}
			}
			if calls, _, _ := b.op.seen(); calls != 2 {
				t.Errorf("%d calls", calls)
			}
		})
	})
	t.Run("beside_others_too", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b := newBed(t, keeping)
			if err := b.SetHabit(t.Context(), id, HabitKeeps); err != nil {
				t.Fatal(err)
			}
			b.op.dead = true
			for range 3 {
				if err := b.refresh(); !errors.Is(err, ErrLoginAgain) {
					t.Fatal(err)
				}
			}
			if calls, _, _ := b.op.seen(); calls > 2 {
				t.Errorf("%d calls", calls)
			}
		})
	})
}

func newBrokenBed(t *testing.T) (*bed, *broken) {
	b := newBed(t, strict)
	eng := &broken{Engine: b.eng}
	b.eng = eng
	b.Keeper = b.node()
	return b, eng
}

func TestNoRoom(t *testing.T) {
	t.Run("found_out_before_anything_is_sent", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			eng.set(nil, store.ErrNoSpace)
			if err := b.refresh(); !errors.Is(err, store.ErrNoSpace) {
				t.Fatal(err)
			}
			if calls, _, _ := b.op.seen(); calls != 0 {
				t.Error("the token was sent without room for the next")
			}
			if p := b.state().Pending; p != nil {
				t.Errorf("pending although nothing was sent: %+v", p)
			}
			eng.set(nil, nil)
			b.mustRefresh()
			b.alive()
		})
	})
	t.Run("found_out_too_late", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
			b.mustRefresh() // the access token is good
			if !b.state().Unsaved {
				t.Error("State does not say so")
			}
			b.alive()
			b.mustRefresh("more") // goes on with the token in memory
			b.alive()
			old, err := b.Superseded(t.Context(), id, b.op.first())
			if err != nil || !old {
				t.Errorf("the token in the store does not count as superseded: %v", err)
			}
			b.op.entered = nil
			eng.set(nil, nil)
			time.Sleep(2 * lastRetry)
			synctest.Wait()
			if b.state().Unsaved {
				t.Error("not saved in the background")
			}
			if _, err := b.node().Refresh(t.Context(), id, b.op, flow.Request{}); err != nil {
				t.Errorf("the next node: %v", err)
			}
			if _, reused, _ := b.op.seen(); reused != 0 {
				t.Errorf("%d superseded tokens sent", reused)
			}
		})
	})
	t.Run("until_the_end", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
			b.mustRefresh()
			if err := b.Close(t.Context()); !errors.Is(err, ErrNotSaved) {
				t.Errorf("close: %v", err)
			}
		})
	})
	t.Run("saved_at_the_end", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
			b.mustRefresh()
			eng.set(nil, nil)
			if err := b.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
			b.alive()
		})
	})
	t.Run("new_login_meanwhile", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
			b.mustRefresh()
			b.op.entered = nil
			eng.set(nil, nil)
			if err := b.Put(t.Context(), id, b.op.login()); err != nil {
				t.Fatal(err)
			}
			b.mustRefresh()
			time.Sleep(2 * lastRetry)
			b.mustRefresh()
			b.alive()
		})
	})
	t.Run("others_wait_meanwhile", func(t *testing.T) {
		in(t, func(t *testing.T) {
			b, eng := newBrokenBed(t)
			b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
			b.mustRefresh()
			b.op.entered = nil
			other := b.node()
			if _, err := other.Refresh(t.Context(), id, b.op, flow.Request{}); !errors.Is(err, ErrBusy) {
				t.Errorf("another node: %v", err)
			}
			if calls, _, _ := b.op.seen(); calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	})
}

// A node that could not renew its lease is overtaken by another one while the provider takes its time.
func TestOvertaken(t *testing.T) {
	in(t, func(t *testing.T) {
		b, eng := newBrokenBed(t)
		b.op.rotation = grace
		other := New(eng.Engine, Options{})
		eng.renews = errors.New("home is not reachable")
		b.Keeper.opts.Timeout = time.Minute
		b.op.delay = 40 * time.Second
		done := make(chan error, 1)
		go func() { done <- b.refresh() }()
		time.Sleep(20 * time.Second)
		b.op.mu.Lock()
		b.op.delay = 0
		b.op.mu.Unlock()
		if _, err := other.Refresh(t.Context(), id, b.op, flow.Request{}); err != nil {
			t.Fatalf("the second node: %v", err)
		}
		if err := <-done; err != nil {
			t.Fatalf("the first node: %v", err)
		}
		for range 3 {
			b.mustRefresh()
		}
		b.alive()
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Nothing that is said, logged or printed holds a token.
func TestNoSecretIsTold(t *testing.T) {
	in(t, func(t *testing.T) {
		var log bytes.Buffer
		b, eng := newBrokenBed(t)
		b.Keeper.opts.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		b.op.rotation = grace
		var told strings.Builder
		for _, f := range []fault{lost, slowLost, before, err503, err500, err429, badScope, garbage, none} {
			b.op.fail(f)
			fmt.Fprintln(&told, b.refresh())
			fmt.Fprintf(&told, "%+v %#v\n", b.state(), b.state())
		}
		rec, err := b.load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&told, "%+v %v %#v\n", rec, *rec, *rec)
		b.op.entered = func() { eng.set(store.ErrNoSpace, nil) }
		b.mustRefresh()
		eng.set(nil, nil)
		b.op.entered = nil
		b.op.fail(refusal_)
		fmt.Fprintln(&told, b.refresh(), b.Put(t.Context(), id, b.op.first()))
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, s := range []string{"of-a-secret-family", "rt-", "at-"} {
			if strings.Contains(told.String(), s) || strings.Contains(log.String(), s) {
				t.Errorf("%q was told:\n%s\n%s", s, told.String(), log.String())
			}
		}
		if !strings.Contains(log.String(), `"tokid"`) {
			t.Error("the log names no token: the test does not test")
		}
	})
}
