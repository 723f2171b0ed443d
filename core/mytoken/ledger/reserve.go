package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
)

// Reservation is one use of a mytoken that is under way. Exactly one of Commit, Sub, Burn and GiveBack ends it; one
// that is left, by a process that died too, counts as used after Options.Hold and is shown as unknown.
type Reservation struct {
	// Candidate is the clause that is used, and what to ask the provider for.
	Candidate rules.Candidate

	p       *Presented
	use     rules.Use
	id      string // of the hold; "": the clause has no limit, and is counted when the use is committed
	called  atomic.Bool
	settled atomic.Bool
}

// Reserve takes one use of the first clause that allows it. The time of use is the ledger's. A refusal is a
// *rules.RestrictedError and writes nothing. Other errors: ErrRevoked, ErrReplaced, ErrStale, ErrTooMany.
func (p *Presented) Reserve(ctx context.Context, use rules.Use, w rules.World) (*Reservation, error) {
	use.Now = p.l.now()
	cs, err := rules.Candidates(ctx, p.Claims.Restrictions, use, w)
	if err != nil {
		return nil, err
	}
	first, _, err := rules.Pick(cs, func(k rules.Key) (rules.Counter, error) {
		return p.Counters[rules.CounterKey{Clause: k, Kind: use.Kind}], nil
	})
	if err != nil {
		return nil, err
	}
	r := &Reservation{p: p, use: use, Candidate: first}
	// What has no limit is counted at the end, and needs no transaction now: the clauses before it are used up, and a use
	// of them that is given back this very moment is no loss.
	if first.Limit == nil {
		return r, nil
	}
	if err := r.take(ctx, cs); err != nil {
		return nil, fmt.Errorf("reserve a use: %w", err)
	}
	return r, nil
}

func (r *Reservation) take(ctx context.Context, cs []rules.Candidate) error {
	l, p := r.p.l, r.p
	id := newID()
	return l.eng.Update(ctx, func(tx store.WTx) error {
		r.id = ""
		s, now, err := l.forUpdate(tx, p.MOMID)
		if err != nil {
			return err
		}
		j, err := l.judge(tx, s, p, now)
		if err == nil {
			err = verdictError(j.Verdict)
		}
		if err != nil {
			return err
		}
		c, count, err := rules.Pick(cs, func(k rules.Key) (rules.Counter, error) {
			return s.counter(rules.CounterKey{Clause: k, Kind: r.use.Kind}), nil
		})
		if err != nil {
			return err
		}
		if r.Candidate = c; c.Limit == nil {
			return nil
		}
		if len(s.Holds) >= MaxHolds {
			return ErrTooMany
		}
		r.id = id
		s.setCounter(r.counterKey(), count)
		s.Holds = append(s.Holds, hold{ID: id, Clause: clauseKey(c.Key), Kind: r.use.Kind, At: now})
		return write(tx, tableStates, s, time.Time{}, p.MOMID)
	})
}

// forUpdate reads and locks the state of a mytoken, and books what nobody will settle any more. The caller writes it.
func (l *Ledger) forUpdate(tx store.WTx, momID string) (*stateRecord, time.Time, error) {
	now := l.now()
	s, err := readForUpdate[stateRecord](tx, tableStates, momID)
	if err != nil {
		return nil, now, err
	}
	n, err := s.lapse(now, l.o.Hold)
	if err == nil && n > 0 {
		e := Event{Name: EventUnknown, Comment: fmt.Sprintf("%d uses were under way, their outcome is not known", n)}
		err = l.note(tx, momID, s, e, now)
	}
	return s, now, err
}

func (r *Reservation) counterKey() rules.CounterKey {
	return rules.CounterKey{Clause: r.Candidate.Key, Kind: r.use.Kind}
}

// Refresh gets tokens from the provider with the refresh token of the login, as custody.Keeper.Refresh does. From the
// moment the provider may have seen something the use cannot be given back. The error also wraps ErrNoLogin.
func (r *Reservation) Refresh(ctx context.Context, ref custody.Refresher, req flow.Request) (flow.Tokens, error) {
	if r.settled.Load() {
		return flow.Tokens{}, ErrSettled
	}
	key, err := r.p.loginKey()
	if err != nil {
		return flow.Tokens{}, fmt.Errorf("open the login of a mytoken: %w", err)
	}
	defer key.Wipe()
	k, err := r.p.l.keeper(r.p.Login, key)
	if err != nil {
		return flow.Tokens{}, err
	}
	defer r.p.l.release(ctx, k)
	before := k.calls.Load()
	if r.p.l.o.Escrow != nil {
		ref = depositing{ref, r.p}
	}
	t, err := k.Refresh(ctx, r.p.Login, calling{ref, &k.calls}, req)
	// Callers who ask for the same share one call, so a call of anybody counts as one for this use.
	if err == nil || k.calls.Load() != before || ctx.Err() != nil {
		r.called.Store(true)
	}
	if errors.Is(err, custody.ErrUnknownLogin) {
		err = fmt.Errorf("%w: %w", ErrNoLogin, err)
	}
	return t, err
}

// calling counts calls to the provider that it can have seen. Refresh returns after them, unless its context has ended.
type calling struct {
	custody.Refresher
	calls *atomic.Int64
}

func (c calling) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	t, err := c.Refresher.Refresh(ctx, rt, r)
	if !httpc.Unsent(err) {
		c.calls.Add(1)
	}
	return t, err
}

// GiveBack ends a use that never began. It fails with ErrCalled when the provider was called.
func (r *Reservation) GiveBack(ctx context.Context) error {
	if r.called.Load() {
		return ErrCalled
	}
	return r.drop(ctx, rules.Counter.GiveBack, Event{})
}

// Burn ends a use of which nobody knows whether the provider gave something for it, or that came to nothing after it
// was called. It stays taken. why is written into the history; it must hold nothing secret.
func (r *Reservation) Burn(ctx context.Context, why string, from Origin) error {
	lose := func(c rules.Counter) (rules.Counter, error) { return c.Lose(1) }
	return r.drop(ctx, lose, Event{Name: EventUnknown, Comment: why, From: from})
}

// drop ends a use that was not committed. One that has lapsed stays lost.
func (r *Reservation) drop(ctx context.Context, step func(rules.Counter) (rules.Counter, error), e Event) error {
	if !r.settled.CompareAndSwap(false, true) {
		return ErrSettled
	}
	if r.id == "" && e.Name == "" {
		return nil
	}
	l, id := r.p.l, r.p.MOMID
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		s, now, err := l.forUpdate(tx, id)
		if err != nil {
			return err
		}
		if err := r.step(s, step); err != nil {
			return err
		}
		if err := l.note(tx, id, s, e, now); err != nil {
			return err
		}
		return write(tx, tableStates, s, time.Time{}, id)
	})
	if err != nil && !errors.Is(err, ErrUnknown) {
		return fmt.Errorf("end a reserved use: %w", err)
	}
	return nil
}

// step settles the hold, if it is still there.
func (r *Reservation) step(s *stateRecord, step func(rules.Counter) (rules.Counter, error)) error {
	i := slices.IndexFunc(s.Holds, func(h hold) bool { return h.ID == r.id })
	if r.id == "" || i < 0 {
		return nil
	}
	c, err := step(s.counter(r.counterKey()))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	s.setCounter(r.counterKey(), c)
	s.Holds = slices.Delete(s.Holds, i, i+1)
	return nil
}
