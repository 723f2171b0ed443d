package custody

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

const (
	// maxTries bounds the calls to the provider in one Refresh: each after the first has its own reason, such as a
	// newer token that another node saved.
	maxTries = maxSpares + 2
	// spareRoom is reserved beyond twice the size of the record before a token is sent: room for a longer token.
	spareRoom = 8 << 10
	// lastPrecision keeps side by side refreshes from writing each time, where Options say nothing.
	lastPrecision = time.Minute
)

// errAnew sends a side by side refresh to the line of those that go one at a time.
var errAnew = errors.New("the refresh token has changed")

// run is one flight.
func (k *Keeper) run(ctx context.Context, f *flight, l *login) (flow.Tokens, error) {
	t, err := k.beside(ctx, f, l)
	if !errors.Is(err, errAnew) {
		return t, err
	}
	return k.alone(ctx, f, l)
}

// beside refreshes side by side with others, when the provider keeps refresh tokens. errAnew: it may not.
func (k *Keeper) beside(ctx context.Context, f *flight, l *login) (flow.Tokens, error) {
	if !l.turn.TryAcquire(1) { // somebody is alone with it: wait only where that will be seldom
		rec, err := k.load(ctx, f.id)
		if err != nil {
			return flow.Tokens{}, err
		}
		habit := rec.Habit
		rec.wipe()
		if habit != HabitKeeps {
			return flow.Tokens{}, errAnew
		}
		if err := k.takeTurn(ctx, f, l, 1); err != nil {
			return flow.Tokens{}, err
		}
	}
	defer l.turn.Release(1)
	rec, err := k.load(ctx, f.id)
	if err != nil {
		return flow.Tokens{}, err
	}
	defer rec.wipe()
	if rec.Habit != HabitKeeps || rec.Intent != nil || k.newest(l, rec) != nil {
		return flow.Tokens{}, errAnew
	}
	if rec.Refused.covers(f.request) {
		return flow.Tokens{}, again(&rec.Refused.Said)
	}
	s := f.sending(rec)
	defer s.token.Wipe()
	s.repeat = true
	t, err := k.call(ctx, f, s, func(fresh secret.Text) {
		if hashOf(fresh) == s.hash {
			return
		}
		k.opts.Log.WarnContext(ctx, "the provider replaced a refresh token that it was thought to keep",
			"login", f.id, "old", s.hash.id(), "tokid", fresh.ID())
		k.save(ctx, l, s, fresh)
	})
	switch {
	case !t.Refresh.Empty() && hashOf(t.Refresh) != s.hash: // saved
	case err == nil:
		k.noteLast(ctx, f.id, rec, s)
	case judge(err) == refused:
		return flow.Tokens{}, errAnew
	case judge(err) == unknown:
		k.note(ctx, f.id, func(r *record) error { r.doubt(s, k.opts.Now()); return nil })
	}
	return t, err
}

// noteLast keeps LastRefresh, as exactly as is wanted, and takes back a refusal.
func (k *Keeper) noteLast(ctx context.Context, id string, rec *record, s sending) {
	now := k.opts.Now()
	fresh := k.opts.Precision < 0 || now.Sub(when(rec.Last)).Abs() < k.opts.Precision
	if rec.Refused == nil && fresh {
		return
	}
	k.note(ctx, id, func(r *record) error { r.answered(s, secret.Text{}, now); return nil })
}

// takeTurn waits for the right to refresh this login in this process: alone, or side by side with weight 1.
func (k *Keeper) takeTurn(ctx context.Context, f *flight, l *login, weight int64) error {
	ctx, done := k.wait(ctx, f)
	defer done()
	if err := l.turn.Acquire(ctx, weight); err != nil {
		return waited(ctx)
	}
	return nil
}

// waited says why a wait ended.
func waited(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return ErrBusy
	}
	return cause
}

// alone refreshes with nobody else refreshing the same login, on any node.
func (k *Keeper) alone(ctx context.Context, f *flight, l *login) (flow.Tokens, error) {
	if err := k.takeTurn(ctx, f, l, all); err != nil {
		return flow.Tokens{}, err
	}
	defer l.turn.Release(all)
	defer k.dropHold(ctx, l)

	recut := true
	for try := 1; ; try++ {
		// Each time: the lease may have been lost while the provider was answering.
		if err := k.takeHold(ctx, f, l); err != nil {
			return flow.Tokens{}, err
		}
		t, how, err := k.attempt(ctx, f, l)
		switch {
		case how == another && try < maxTries:
		case how == unknown && recut && cut(err) && try < maxTries:
			recut = false
		default:
			return t, err
		}
	}
}

// another is an outcome beside those of a call: the token was refused, and there is another one to try.
const another outcome = -1

// attempt sends the newest refresh token once.
func (k *Keeper) attempt(ctx context.Context, f *flight, l *login) (flow.Tokens, outcome, error) {
	s, err := k.begin(ctx, f, l)
	if err != nil {
		return flow.Tokens{}, unsent, err
	}
	defer s.token.Wipe()
	t, err := k.call(ctx, f, s, func(fresh secret.Text) { k.save(ctx, l, s, fresh) })
	how := judge(err)
	if !t.Refresh.Empty() { // saved
		return t, how, err
	}
	switch how {
	case answered:
		k.save(ctx, l, s, secret.Text{})
	case refused:
		var more bool
		k.note(ctx, f.id, func(r *record) error { more = r.refused(s, err, k.opts.Now()); return nil })
		if more {
			k.forgetUnsaved(l, s)
			return t, another, again(err)
		}
		k.opts.Log.WarnContext(ctx, "the provider refused a refresh token",
			"login", f.id, "tokid", s.hash.id(), "answer_lost", s.before != nil, "err", err)
		return t, how, again(err)
	case denied, unsent:
		k.note(ctx, f.id, func(r *record) error { r.undone(s); return nil })
	default:
		k.opts.Log.WarnContext(ctx, "it is not known whether the provider took a refresh token",
			"login", f.id, "tokid", s.hash.id(), "err", err)
		k.settleSoon(ctx, f, l, err)
	}
	return t, how, err
}

func again(err error) error { return fmt.Errorf("%w: %w", ErrLoginAgain, err) }

// settleSoon sees to it that a refresh whose answer did not arrive is tried again while the provider's grace period
// lasts, should nobody ask for a token meanwhile. A provider that failed in so many words gets no such requests.
func (k *Keeper) settleSoon(ctx context.Context, f *flight, l *login, err error) {
	var said *flow.Error
	if errors.As(err, &said) && said.Status != 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.settling || k.closed {
		return
	}
	l.settling = true
	l.users++
	k.wg.Go(func() {
		for _, pause := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second} {
			if !k.pause(pause) || !k.pending(ctx, f.id) {
				break
			}
			t, err := k.Refresh(ctx, f.id, f.r, f.req)
			if err == nil {
				wipe(t)
			}
		}
		k.mu.Lock()
		l.settling = false
		k.mu.Unlock()
		k.exit(l)
	})
}

// pending reports whether the outcome of a refresh is not known yet.
func (k *Keeper) pending(ctx context.Context, id string) bool {
	rec, err := k.load(ctx, id)
	if err != nil {
		return false
	}
	defer rec.wipe()
	return rec.Intent != nil && rec.Refused == nil
}

// begin reads the newest token, which may come from another node, records durably that it is about to be sent, and
// makes sure of room for the next one.
func (k *Keeper) begin(ctx context.Context, f *flight, l *login) (sending, error) {
	rec, err := k.load(ctx, f.id)
	if err != nil {
		return sending{}, err
	}
	defer rec.wipe()
	if u := k.newest(l, rec); u != nil && !k.saveAgain(ctx, l) {
		// Its loss with this process can no more be prevented by not using it.
		return f.sendingUnsaved(u), nil
	}
	s, err := k.intend(ctx, f, l)
	if err != nil {
		return sending{}, err
	}
	// After the intent, because that may take the last room there was.
	if err := k.reserve(ctx, rec); err != nil {
		k.note(ctx, f.id, func(r *record) error { r.undone(s); return nil })
		s.token.Wipe()
		return sending{}, fmt.Errorf("make room for the next refresh token: %w", err)
	}
	return s, nil
}

// intend records that the current token is about to be sent.
func (k *Keeper) intend(ctx context.Context, f *flight, l *login) (s sending, err error) {
	err = k.change(ctx, f.id, func(r *record) error {
		if r.Refused.covers(f.request) {
			return again(&r.Refused.Said)
		}
		s.token.Wipe()
		s = f.sending(r)
		s.before = r.begin(k.opts.Now())
		return nil
	}, l.hold.lease) // also one that is lost by now: the store says so
	if errors.Is(err, store.ErrFenced) {
		err = ErrBusy
	}
	if err != nil {
		s.token.Wipe()
	}
	return s, err
}

func (k *Keeper) reserve(ctx context.Context, rec *record) error {
	r, ok := k.eng.(store.Reserver)
	if !ok {
		return nil
	}
	b, err := rec.encode()
	if err != nil {
		return err
	}
	defer clear(b)
	return r.Reserve(ctx, min(2*len(b)+spareRoom, store.MaxValue))
}

// sending takes a copy of the record's current token along.
func (f *flight) sending(rec *record) sending {
	h := hashOf(rec.RT)
	return sending{
		token: rec.RT.Clone(), hash: h, stored: h, family: rec.Family, request: f.request, bare: f.bare,
	}
}

func (f *flight) sendingUnsaved(u *unsaved) sending {
	s := u.sending
	s.token, s.hash = u.token.Clone(), hashOf(u.token)
	s.request, s.bare, s.before = f.request, f.bare, nil
	return s
}

// call asks the provider. Its time is bounded by the keeper, not by any caller. keep is called once with a refresh
// token in the answer: where the Refresher can, before it does anything else, at the latest when it has returned.
func (k *Keeper) call(
	ctx context.Context, f *flight, s sending, keep func(fresh secret.Text),
) (flow.Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Timeout)
	defer cancel()
	kept := false
	req := f.req
	req.Repeat = s.repeat
	req.Keep = func(fresh secret.Text) { kept = true; keep(fresh) }
	t, err := f.r.Refresh(ctx, s.token, req)
	if !kept && !t.Refresh.Empty() {
		keep(t.Refresh)
	}
	return t, err
}

// note changes the record where a failure to do so is not worth failing for: the next refresh sorts it out.
func (k *Keeper) note(ctx context.Context, id string, edit func(*record) error) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Wait)
	defer cancel()
	if err := k.change(ctx, id, edit); err != nil && !errors.Is(err, ErrUnknownLogin) {
		k.opts.Log.WarnContext(ctx, "the state of a login was not saved", "login", id, "err", err)
	}
}
