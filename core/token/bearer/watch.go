package bearer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Times of a Watch.
const (
	defaultShare = 2.0 / 3
	jitter       = 0.05 // of the pause, either way: many jobs start at once
	leastPause   = time.Second
	mostBackoff  = time.Minute
	// blindPause is between two tokens when nobody says how long one lives.
	blindPause = 10 * time.Minute
	// mostRenewals is how often a token is renewed at most within its life.
	mostRenewals = 10
	// nap bounds one sleep: a machine that was suspended has to see that it is late.
	nap = 30 * time.Second
	// firstValid is what the first token should still live.
	firstValid = time.Minute
)

// Fresh is a token that was just obtained.
type Fresh struct {
	Token   secret.Text
	Expires time.Time // zero: unknown
}

// The values of Event.Kind.
const (
	EventStored  = "stored"  // the file holds a new token
	EventFailed  = "failed"  // no new token this time; Next says when it is tried again
	EventEnded   = "ended"   // only a person can help; the token in the file is good until Expires
	EventExpired = "expired" // the token in the file is dead and has been removed
	EventStopped = "stopped" // told to stop; the token stays until it expires
)

// Event is what a Watch tells.
type Event struct {
	Kind    string
	Expires time.Time // of the token in the file; zero: unknown or none
	Next    time.Time // when it is renewed or tried again; zero: not any more
	Err     error
}

// Watch keeps a token file fresh while a job runs. Path and Get have to be set.
//
// It renews at a share of the token's life and tries again, ever more slowly but several times within what is left,
// when that fails. What the file holds is always a token that is valid or whose lifetime nobody knows: one that has
// expired is removed, so that programs say "no token" and not "wrong token". When only a person can help, the token
// that is still valid stays until it expires, and a login that comes back meanwhile is used; then Run ends.
type Watch struct {
	Path string
	// Get obtains a token that lives longer than valid, if there is one.
	Get func(ctx context.Context, valid time.Duration) (Fresh, error)
	// Ended reports that trying again cannot help without a person; nil: it always may.
	Ended func(error) bool
	Share float64         // of the life after which a token is renewed; 0 = two thirds
	Least time.Duration   // what the token in the file should still live at any time; renewed sooner if need be
	Event func(Event)     // nil: nobody listens
	Renew <-chan struct{} // renew now; nil: never
	Now   func() time.Time
}

// watch is a Watch that runs.
type watch struct {
	Watch
	held    secret.Text // in the file; empty: none of ours
	expires time.Time   // zero: unknown, or nothing is held
	backoff time.Duration
	told    bool // that only a person can help
}

// Run stores the first token, and then renews it until ctx ends, which is no error: the file stays as it is. The error
// is that of Get or Store when there is no first token, and ErrEnded with the last one when the login has ended and its
// last token has expired.
func (w Watch) Run(ctx context.Context) error {
	if w.Share <= 0 || w.Share >= 1 {
		w.Share = defaultShare
	}
	if w.Now == nil {
		w.Now = time.Now
	}
	r := &watch{Watch: w}
	defer func() { r.held.Wipe() }()
	if err := r.renew(ctx, max(firstValid, w.Least)); err != nil {
		return err
	}
	next := r.now().Add(r.pause())
	r.tell(Event{Kind: EventStored, Next: next})
	for r.sleepUntil(ctx, next) {
		err := r.renew(ctx, max(r.left()+time.Second, w.Least))
		if ctx.Err() != nil {
			break
		}
		if next, err = r.judge(err); err != nil {
			return err
		}
	}
	r.tell(Event{Kind: EventStopped})
	return nil
}

// renew gets a token and puts it into the file.
func (r *watch) renew(ctx context.Context, valid time.Duration) error {
	f, err := r.Get(ctx, valid)
	if err != nil {
		return err
	}
	if err := Store(r.Path, f.Token); err != nil {
		f.Token.Wipe()
		return err
	}
	r.held.Wipe()
	r.held, r.expires = f.Token, f.Expires
	return nil
}

// judge says when to go on after an attempt, or that it is over.
func (r *watch) judge(err error) (next time.Time, over error) {
	if err == nil {
		r.backoff, r.told = 0, false
		next = r.now().Add(r.pause())
		r.tell(Event{Kind: EventStored, Next: next})
		return next, nil
	}
	ended := r.Ended != nil && r.Ended(err)
	dead := !r.held.Empty() && !r.expires.IsZero() && r.left() <= 0
	if dead {
		if lost := r.drop(); lost != nil {
			r.tell(Event{Kind: EventFailed, Err: lost})
		}
	}
	// With a lifetime that nobody knows there is no end to wait for.
	if ended && r.expires.IsZero() {
		return time.Time{}, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	next = r.now().Add(r.retry())
	kind := EventFailed
	if ended && !r.told {
		kind, r.told = EventEnded, true
	}
	r.tell(Event{Kind: kind, Next: next, Err: err})
	return next, nil
}

// drop removes the dead token.
func (r *watch) drop() error {
	err := Remove(r.Path, r.held)
	r.held.Wipe()
	r.held, r.expires = secret.Text{}, time.Time{}
	r.tell(Event{Kind: EventExpired})
	return err
}

// pause is the time until the token that was just stored is renewed.
func (r *watch) pause() time.Duration {
	if r.expires.IsZero() {
		return spread(blindPause)
	}
	left := r.left()
	pause := time.Duration(r.Share * float64(left))
	if r.Least > 0 {
		// Tokens that never live as long must not be asked for all the time.
		pause = max(min(pause, left-r.Least), left/mostRenewals)
	}
	return max(spread(pause), leastPause)
}

// retry is the time until the next attempt: twice the last one, and short enough for several within what is left. It
// ends when the token does, so that this is noticed.
func (r *watch) retry() time.Duration {
	r.backoff = min(max(2*r.backoff, leastPause), mostBackoff)
	pause := spread(r.backoff)
	if left := r.left(); !r.expires.IsZero() {
		pause = min(pause, max(left/2, min(left, leastPause)))
	}
	return max(pause, leastPause/10)
}

// spread is d, a little longer or shorter.
func spread(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	share := float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
	return d + time.Duration((2*share-1)*jitter*float64(d))
}

// left is how long the token in the file lives, by the wall clock, which goes on while a machine sleeps.
func (r *watch) left() time.Duration {
	if r.expires.IsZero() {
		return 0
	}
	return max(r.expires.Round(0).Sub(r.now()), 0)
}

func (r *watch) now() time.Time { return r.Now().Round(0) }

// sleepUntil reports false when ctx has ended.
func (r *watch) sleepUntil(ctx context.Context, next time.Time) bool {
	for ctx.Err() == nil {
		d := next.Sub(r.now())
		if d <= 0 {
			return true
		}
		t := time.NewTimer(min(d, nap))
		select {
		case <-t.C:
		case <-r.Renew:
			t.Stop()
			return true
		case <-ctx.Done():
			t.Stop()
		}
	}
	return false
}

func (r *watch) tell(e Event) {
	if r.Event == nil {
		return
	}
	e.Expires = r.expires
	r.Event(e)
}
