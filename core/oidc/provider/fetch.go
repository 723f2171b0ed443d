package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// why a set is wanted. A fetch for a later reason serves those who wait for an earlier one.
type why int

const (
	need  why = iota // there is no set that may be used
	renew            // there is, and it is time for a newer one
	force            // a token names a kid that the set does not have
	order            // a person wants it: straight from the issuer, and no pause counts
)

// ask is what somebody wants of an entry.
type ask struct {
	why why
	kid string // with force
}

// flight is one fetch that is under way.
type flight struct {
	ask
	done chan struct{}

	// To be read after done was closed.
	set   *jose.KeySet
	err   error
	stale bool // the keys were dropped meanwhile: what it brought counts for nothing
}

// obtain returns the set of e. It waits for a fetch where that is needed, and starts it where nobody has.
func (k *Keys) obtain(ctx context.Context, e *entry, a ask) (*jose.KeySet, error) {
	for {
		set, f, err := k.decide(ctx, e, a)
		if f == nil {
			return set, err
		}
		if err := e.await(ctx, f, a); err != nil {
			return nil, err
		}
		if !f.stale && f.why >= a.why {
			return f.set, f.err
		}
	}
}

// await waits until f has ended, as long as not too many do that already: each of them holds a connection of ours, and
// an issuer that takes its time must not get hold of all.
func (e *entry) await(ctx context.Context, f *flight, a ask) error {
	defer e.waiting.Add(-1)
	if n := e.waiting.Add(1); a.why != order && (n > maxWaiting || a.why == force && n > maxStrangers) {
		return &UnavailableError{Issuer: e.issuer, RetryAfter: time.Second, Err: ErrCrowd}
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the key set of %s: %w", e.issuer, context.Cause(ctx))
	}
}

// decide answers at once or names the fetch to wait for.
func (k *Keys) decide(ctx context.Context, e *entry, a ask) (*jose.KeySet, *flight, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, h := k.now(), e.held.Load()
	paused := now.Before(e.retryAt)
	switch {
	case a.why == need && h.usable(now):
		if !now.Before(h.refreshAt) && !paused && e.flight == nil {
			k.start(ctx, e, ask{why: renew}) // in the background; an error is remembered and logged there
		}
		return h.set, nil, nil
	case a.why == force && h.usable(now) && h.set.HasID(a.kid):
		return h.set, nil, nil
	case e.flight != nil:
		return nil, e.flight, nil
	case paused && a.why != order:
		return nil, nil, e.unavailable(now)
	case a.why == force && h.usable(now) && !e.forced.IsZero() && now.Before(e.forced.Add(ForcedEvery)):
		return h.set, nil, nil
	case a.why == force:
		e.forced = now
	}
	return nil, k.start(ctx, e, a), nil
}

// start begins a fetch; e.mu is held. The fetch outlives the request that caused it, because others wait for it too;
// Close ends it.
func (k *Keys) start(ctx context.Context, e *entry, a ask) *flight {
	f := &flight{ask: a, done: make(chan struct{})}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		f.err = &UnavailableError{Issuer: e.issuer, RetryAfter: time.Second, Err: ErrClosed}
		f.why = order // whatever was wanted, this is the answer
		close(f.done)
		return f
	}
	e.flight = f
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	k.fetches.Go(func() {
		select {
		case <-k.done:
			cancel()
		case <-fetchCtx.Done():
		}
	})
	k.fetches.Go(func() {
		defer cancel()
		k.fly(fetchCtx, e, f)
	})
	return f
}

// fly is the fetch itself: from the directory where that will do, else from the issuer.
func (k *Keys) fly(ctx context.Context, e *entry, f *flight) {
	defer close(f.done)
	have := e.held.Load()
	got, err := k.kept(e, f.ask, have)
	if got == nil && err == nil {
		got, err = k.fetch(ctx, e, f.why)
	}
	if k.land(e, f, got, err) {
		k.keep(e.issuer, got, err)
		k.nudge()
	}
}

// land makes the result of a fetch that of e and of all who wait for f; false when it came too late for that.
func (k *Keys) land(e *entry, f *flight, got *fetched, err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.stale = e.flight != f; f.stale {
		return false
	}
	e.flight = nil
	if !errors.Is(err, errSpared) {
		k.finish(e, got, err)
	}
	if e.err != nil {
		f.err = e.unavailable(k.now())
		return true
	}
	f.set = e.held.Load().set
	return true
}

// fetched is a set as it came, from the issuer or from the directory.
type fetched struct {
	set      *jose.KeySet
	raw      []byte // as the issuer sent it
	at       time.Time
	maxAge   time.Duration
	fromDisk bool
}

// fetch asks the issuer.
func (k *Keys) fetch(ctx context.Context, e *entry, w why) (*fetched, error) {
	if w == force {
		k.noteForced(e.issuer)
	}
	// Before the request, because a key may be withdrawn during it; without the monotonic clock, which stands still while
	// a machine sleeps.
	at := k.now().Round(0)
	md, err := Discover(ctx, k.hc, e.issuer)
	if err != nil {
		return nil, err
	}
	got, skipped, err := fetchKeys(ctx, k.hc, md)
	for _, s := range skipped {
		k.log.Warn("key left out of the set", "iss", e.issuer, "err", s)
	}
	if err != nil {
		return nil, err
	}
	got.at = at
	return got, nil
}

// finish records the result of a fetch; e.mu is held. A failure leaves the old set in place.
func (k *Keys) finish(e *entry, got *fetched, err error) {
	now := k.now()
	if e.err = err; err != nil {
		k.failed(e, now, err)
		return
	}
	e.failures, e.retryAt, e.errAt = 0, time.Time{}, time.Time{}
	h := &held{set: got.set, fetched: got.at, maxAge: got.maxAge, fromDisk: got.fromDisk}
	h.generation = k.generationOf(got.set, e.held.Load())
	h.within(e.life)
	e.held.Store(h)
}

func (k *Keys) failed(e *entry, now time.Time, err error) {
	pause := min(MinRetry<<min(e.failures, 8), MaxRetry)
	e.failures++
	e.retryAt, e.errAt = now.Add(pause), now
	until := now
	if h := e.held.Load(); h != nil {
		later := *h
		later.lookAt = e.retryAt
		if h.refreshAt.After(later.lookAt) {
			later.lookAt = h.refreshAt
		}
		e.held.Store(&later)
		until = h.expires
	}
	k.log.Warn("key set could not be fetched", "iss", e.issuer, "err", err, "retry_in", pause.String(),
		"old_keys_until", until)
}

// FetchKeys fetches the key set of a provider once, for a command that ends afterwards. skipped are the keys that were
// left out, and why.
func FetchKeys(ctx context.Context, hc Getter, md *Metadata) (set *jose.KeySet, skipped []error, err error) {
	got, skipped, err := fetchKeys(ctx, hc, md)
	if err != nil {
		return nil, skipped, err
	}
	return got.set, skipped, nil
}

func fetchKeys(ctx context.Context, hc Getter, md *Metadata) (got *fetched, skipped []error, err error) {
	if md.JWKSURI == "" {
		return nil, nil, fmt.Errorf("%w: it has no jwks_uri", ErrMetadata)
	}
	r, err := hc.Get(ctx, md.JWKSURI)
	if err != nil {
		return nil, nil, err
	}
	if r.Status != http.StatusOK {
		return nil, nil, &StatusError{URL: md.JWKSURI, Status: r.Status}
	}
	set, skipped, err := jose.ParseKeySet(r.Body)
	if err != nil {
		return nil, skipped, err
	}
	return &fetched{set: set, raw: r.Body, maxAge: maxAgeOf(r.Header)}, skipped, nil
}
