package ledger

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func TestJourney(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		b.op.rotate = true
		jwt, tok := b.begin(limit(2), nil)
		for i, want := range []string{"access-1", "access-2", ""} {
			got, n, err := b.access(jwt)
			if got != want || n != nil || (want == "") != errors.Is(err, rules.ErrRestricted) {
				t.Errorf("use %d: %q, %v, %v", i+1, got, n, err)
			}
		}
		if b.op.calls != 2 || b.op.seen[0] != firstRT || b.op.seen[1] != "the-refresh-token-of-alice-rotated-1" {
			t.Errorf("the provider saw %q", b.op.seen)
		}
		got, err := b.Find(t.Context(), tok.MOMID)
		key := rules.CounterKey{Clause: rules.KeyOf(limit(2)[0]), Kind: rules.Access}
		if err != nil || got.Condition != Live || got.Counters[key].Used != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		if got.Name != "job" || got.IP != "192.0.2.7" || got.LastUse.IsZero() || len(got.Restrictions) != 1 {
			t.Errorf("%+v", got)
		}
		ev, err := b.Events(t.Context(), tok.MOMID, 0)
		if err != nil || len(ev) != 3 || ev[0].Event != "AT_created" || ev[2].Event != EventCreated || ev[2].UserAgent != "test" {
			t.Errorf("%+v, %v", ev, err)
		}
	})
}

func TestPresentRefuses(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		soon := mytoken.At(b.clock.now().Add(time.Hour))
		jwt, _ := b.begin(mytoken.Restrictions{{Expires: soon}}, nil)
		never, _ := b.issue(nil, nil)
		other := newBed(t, memstore.New(), Options{})
		foreign, _ := other.issue(nil, nil)
		text := []byte(jwt.Expose())
		text[len(text)-3] ^= 1
		for name, tc := range map[string]struct {
			jwt  secret.Text
			want error
		}{
			"never_kept":       {never, ErrUnknown},
			"of_other_server":  {foreign, ErrUnknown},
			"other_signature":  {secret.New(text), ErrInvalid},
			"no_jwt":           {secret.FromString("abcdefghijklmnopqrstuvwxyz0123456789"), ErrInvalid},
			"too_long":         {secret.New(make([]byte, mint.MaxSize+1)), ErrInvalid},
			"empty":            {secret.Text{}, ErrInvalid},
			"dots_and_nothing": {secret.FromString(".."), ErrInvalid},
		} {
			t.Run(name, func(t *testing.T) {
				if _, err := b.Present(t.Context(), tc.jwt, origin()); !errors.Is(err, tc.want) {
					t.Errorf("%v, want %v", err, tc.want)
				}
			})
		}
		b.clock.move(time.Hour)
		if _, err := b.Present(t.Context(), jwt, origin()); !errors.Is(err, mint.ErrExpired) {
			t.Errorf("at its last second: %v", err)
		}
	})
}

// Of many at once exactly as many get an access token as may, also through mytokens that were made from the limited
// one.
func TestManyAtOnce(t *testing.T) {
	for _, k := range []int64{1, 3, 50} {
		engines(t, func(t *testing.T, inner store.Engine) {
			b := newBed(t, inner, Options{})
			first, _ := b.begin(limit(k), nil)
			tokens := []secret.Text{first}
			if k > 1 {
				one, _ := b.sub(first, limit(1))
				some, _ := b.sub(first, limit(k/3))
				tokens = append(tokens, one, some)
			}
			var (
				wg sync.WaitGroup
				ok atomic.Int64
			)
			for i := range 200 {
				wg.Go(func() {
					switch _, _, err := b.access(tokens[i%len(tokens)]); {
					case err == nil:
						ok.Add(1)
					case !errors.Is(err, rules.ErrRestricted):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if ok.Load() != k {
				t.Errorf("limit %d: %d access tokens", k, ok.Load())
			}
		})
	}
}

// Sub-tokens that are made at once do not get more than there is.
func TestManySubtokensAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		first, _ := b.begin(limit(10), nil)
		var (
			wg   sync.WaitGroup
			uses atomic.Int64
		)
		for range 20 {
			wg.Go(func() {
				child, _, err := sub(t.Context(), b.Ledger, b.minter, first, limit(3))
				if err != nil {
					if !errors.Is(err, rules.ErrUsedUp) && !errors.Is(err, rules.ErrNothingLeft) {
						t.Error(err)
					}
					return
				}
				for range 4 {
					if _, _, err := b.access(child); err == nil {
						uses.Add(1)
					}
				}
			})
		}
		wg.Wait()
		for range 11 {
			if _, _, err := b.access(first); err == nil {
				uses.Add(1)
			}
		}
		if uses.Load() != 10 {
			t.Errorf("%d uses of 10", uses.Load())
		}
	})
}

func TestGiveBackAndBurn(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		jwt, tok := b.begin(limit(2), nil)
		p, err := b.Present(t.Context(), jwt, origin())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		reserve := func() *Reservation {
			r, err := p.Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := reserve()
		if err := r.GiveBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.GiveBack(t.Context()); !errors.Is(err, ErrSettled) {
			t.Errorf("twice: %v", err)
		}
		if _, err := r.Commit(t.Context(), Event{}); !errors.Is(err, ErrSettled) {
			t.Errorf("commit of what was given back: %v", err)
		}
		b.op.err = errors.New("cut off")
		r = reserve()
		if _, err := r.Refresh(t.Context(), b.op, flow.Request{}); err == nil {
			t.Fatal("no error")
		}
		if err := r.GiveBack(t.Context()); !errors.Is(err, ErrCalled) {
			t.Errorf("the provider was called: %v", err)
		}
		if err := r.Burn(t.Context(), "cut off", origin()); err != nil {
			t.Fatal(err)
		}
		got, err := b.Find(t.Context(), tok.MOMID)
		if err != nil || got.Unknown != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		reserve() // one is left
		if _, err := p.Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{}); !errors.Is(err, rules.ErrRestricted) {
			t.Errorf("third of two: %v", err)
		}
	})
}

// A use that nobody settles is taken from the beginning, and shown as unknown after a while; a late answer adds
// nothing.
func TestLeftOpen(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{Hold: time.Minute})
		jwt, tok := b.begin(limit(1), nil)
		p, err := b.Present(t.Context(), jwt, origin())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		r, err := p.Reserve(t.Context(), rules.Use{Kind: rules.Access}, rules.World{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.access(jwt); !errors.Is(err, rules.ErrRestricted) {
			t.Errorf("while it is open: %v", err)
		}
		b.clock.move(2 * time.Minute)
		if got, err := b.Find(t.Context(), tok.MOMID); err != nil || got.Unknown != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if n, err := b.Sweep(t.Context()); err != nil || n.Lost != 1 {
			t.Errorf("%+v, %v", n, err)
		}
		if _, _, err := b.access(jwt); !errors.Is(err, rules.ErrRestricted) {
			t.Errorf("after it was lost: %v", err)
		}
		if err := r.GiveBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.access(jwt); !errors.Is(err, rules.ErrRestricted) {
			t.Errorf("after it was lost and given back: %v", err)
		}
		ev, err := b.Events(t.Context(), tok.MOMID, 1)
		if err != nil || len(ev) != 1 || ev[0].Event != EventUnknown {
			t.Errorf("%+v, %v", ev, err)
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{Events: 5})
		jwt, tok := b.begin(nil, nil)
		for range 9 {
			if _, _, err := b.access(jwt); err != nil {
				t.Fatal(err)
			}
		}
		ev, err := b.Events(t.Context(), tok.MOMID, 0)
		if err != nil || len(ev) != 5 {
			t.Errorf("%d events, %v", len(ev), err)
		}
		keys, err := b.keys(t.Context(), tableEvents)
		if err != nil || len(keys) != 5 {
			t.Errorf("%d rows, %v", len(keys), err)
		}
	})
}

// counting counts the changes that a store is asked for.
type counting struct {
	store.Engine
	updates atomic.Int64
}

func (c *counting) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	c.updates.Add(1)
	return c.Engine.Update(ctx, fn, held...)
}

// What a use costs: one change, two with a limit, and none more for a provider that keeps refresh tokens; a look at a
// mytoken and a refusal cost none.
func TestChangesPerUse(t *testing.T) {
	c := &counting{Engine: memstore.New()}
	b := newBed(t, c, Options{})
	free, _ := b.begin(nil, nil)
	limited, _ := b.begin(limit(1), nil)
	for name, tt := range map[string]struct {
		do   func() error
		want int64
		err  error
	}{
		"1_unlimited": {func() error { _, _, err := b.access(free); return err }, 1, nil},
		"2_again":     {func() error { _, _, err := b.access(free); return err }, 1, nil},
		"3_look":      {func() error { b.present(limited).Close(); return nil }, 0, nil},
	} {
		before := c.updates.Load()
		if err := tt.do(); !errors.Is(err, tt.err) || c.updates.Load()-before != tt.want {
			t.Errorf("%s: %d changes, want %d, %v", name, c.updates.Load()-before, tt.want, err)
		}
	}
	for _, want := range []int64{2, 0} {
		before := c.updates.Load()
		_, _, err := b.access(limited)
		if n := c.updates.Load() - before; n != want || (want == 0) != errors.Is(err, rules.ErrRestricted) {
			t.Errorf("with a limit: %d changes, want %d, %v", n, want, err)
		}
	}
}

// A sweep that finds nothing to do writes nothing, also where logins have ended and are kept for a while.
func TestSweepWithoutWork(t *testing.T) {
	c := &counting{Engine: memstore.New()}
	b := newBed(t, c, Options{})
	live, _ := b.begin(limit(3), nil)
	_, _ = b.sub(live, limit(1))
	_, ended := b.begin(nil, nil)
	if _, err := b.Revoke(t.Context(), ended.MOMID, true, ""); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	before := c.updates.Load()
	b.sweep()
	if n := c.updates.Load() - before; n != 0 {
		t.Errorf("%d changes", n)
	}
}
