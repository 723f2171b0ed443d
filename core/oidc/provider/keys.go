package provider

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// The times of the cache. Refresh and expiry are the table of the WLCG profile 1.3, section 3.5 of our notes: refresh
// between one and six hours whatever the headers say, old keys for two days (at most four) while an issuer is down.
const (
	MinRefresh    = time.Hour
	MaxRefresh    = 6 * time.Hour
	DefaultExpiry = 48 * time.Hour
	MaxExpiry     = 96 * time.Hour
	// ForcedEvery is the least time between two fetches that unknown kids cause, for one issuer. Anybody can invent a
	// kid; without this they could make us hammer the issuer.
	ForcedEvery = time.Minute
	// MinRetry and MaxRetry bound how long a failed fetch is remembered; it doubles in between.
	MinRetry = 30 * time.Second
	MaxRetry = 5 * time.Minute
	// fetchTimeout bounds one fetch: a discovery with its alternatives, and the key set.
	fetchTimeout = 20 * time.Second
)

// KeysOptions are the settings of a key cache; zero values are the defaults.
type KeysOptions struct {
	Expiry time.Duration // how long keys are used when no refresh succeeds; default 2 days, at most 4
	Now    func() time.Time
	Log    *slog.Logger
}

// Keys is a cache of the key sets of issuers, for use by many goroutines. Ask it for trusted issuers only: it keeps an
// entry for each issuer it was asked for. Close it to wait for fetches that run in the background.
type Keys struct {
	hc     Getter
	expiry time.Duration
	now    func() time.Time
	log    *slog.Logger

	done    chan struct{} // closed by Close
	fetches sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry
	changes uint64 // how many sets were new so far; see Generation
}

// entry is what is known of one issuer. Its fields are guarded by Keys.mu.
type entry struct {
	set       *jose.KeySet
	refreshAt time.Time // fetch again in the background from then on
	expires   time.Time // not to be used from then on
	forced    time.Time // last fetch for an unknown kid
	retryAt   time.Time // no fetch before, after a failure
	failures  int       // since the last success
	err       error     // of the last attempt, nil after a success
	flight    chan struct{}

	generation uint64 // of set, 0 without one
}

// NewKeys returns an empty cache that fetches with hc.
func NewKeys(hc Getter, o KeysOptions) *Keys {
	k := &Keys{hc: hc, expiry: o.Expiry, now: o.Now, log: o.Log}
	k.done, k.entries = make(chan struct{}), map[string]*entry{}
	if k.expiry <= 0 {
		k.expiry = DefaultExpiry
	}
	k.expiry = min(k.expiry, MaxExpiry)
	if k.now == nil {
		k.now = time.Now
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	return k
}

// Close ends running fetches and waits for them. Candidates fails with ErrClosed afterwards unless it has its answer at
// hand.
func (k *Keys) Close() {
	k.mu.Lock() // so that no fetch starts after Wait began
	if !k.closed {
		k.closed = true
		close(k.done)
	}
	k.mu.Unlock()
	k.fetches.Wait()
}

// Candidates returns the keys of issuer that may have signed a token with header h: at most four, never none. It
// fetches when it has no keys, or has none with this kid and has not fetched for that reason within the last minute;
// otherwise it answers from memory. The error is ErrUnknownKey, an *UnavailableError, or that of ctx.
func (k *Keys) Candidates(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error) {
	set, err := k.Set(ctx, issuer)
	if err != nil {
		return nil, err
	}
	if list := set.Candidates(h); len(list) > 0 {
		return list, nil
	}
	if !h.HasKeyID || set.HasID(h.KeyID) {
		return nil, ErrUnknownKey
	}
	if set, err = k.force(ctx, issuer); err != nil {
		return nil, err
	}
	if list := set.Candidates(h); len(list) > 0 {
		return list, nil
	}
	return nil, ErrUnknownKey
}

// Set returns the key set of issuer, from memory where possible. The error is an *UnavailableError or that of ctx.
func (k *Keys) Set(ctx context.Context, issuer string) (*jose.KeySet, error) {
	k.mu.Lock()
	e := k.entry(issuer)
	now := k.now()
	usable := e.set != nil && now.Before(e.expires)
	mayFetch := !now.Before(e.retryAt)
	switch {
	case usable:
		set := e.set
		if !now.Before(e.refreshAt) && mayFetch && e.flight == nil {
			k.start(ctx, issuer, e) // in the background; an error is remembered and logged there
		}
		k.mu.Unlock()
		return set, nil
	case e.flight == nil && !mayFetch:
		defer k.mu.Unlock()
		return nil, k.unavailable(issuer, e)
	}
	flight := e.flight
	if flight == nil {
		flight = k.start(ctx, issuer, e)
	}
	k.mu.Unlock()
	return k.wait(ctx, issuer, flight)
}

// force fetches because of an unknown kid, unless that was done within the last minute or an earlier failure still
// stands. All who ask while a fetch runs share it.
func (k *Keys) force(ctx context.Context, issuer string) (*jose.KeySet, error) {
	k.mu.Lock()
	e := k.entry(issuer)
	now := k.now()
	flight := e.flight
	if flight == nil {
		if now.Before(e.retryAt) {
			defer k.mu.Unlock()
			return nil, k.unavailable(issuer, e)
		}
		if !e.forced.IsZero() && now.Before(e.forced.Add(ForcedEvery)) {
			defer k.mu.Unlock()
			return e.set, nil
		}
		e.forced = now
		flight = k.start(ctx, issuer, e)
	}
	k.mu.Unlock()
	return k.wait(ctx, issuer, flight)
}

func (k *Keys) entry(issuer string) *entry {
	e := k.entries[issuer]
	if e == nil {
		e = &entry{}
		k.entries[issuer] = e
	}
	return e
}

func (k *Keys) unavailable(issuer string, e *entry) error {
	return &UnavailableError{Issuer: issuer, RetryAfter: max(e.retryAt.Sub(k.now()), time.Second), Err: e.err}
}

// wait waits for a fetch and returns its result.
func (k *Keys) wait(ctx context.Context, issuer string, flight chan struct{}) (*jose.KeySet, error) {
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the key set of %s: %w", issuer, context.Cause(ctx))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entry(issuer)
	if e.err != nil {
		return nil, k.unavailable(issuer, e)
	}
	return e.set, nil
}

// start begins a fetch; k.mu is held. The fetch outlives the request that caused it, because others wait for it too;
// Close ends it.
func (k *Keys) start(ctx context.Context, issuer string, e *entry) chan struct{} {
	flight := make(chan struct{})
	if k.closed {
		e.err = ErrClosed
		close(flight)
		return flight
	}
	e.flight = flight
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
		set, refresh, err := k.fetch(fetchCtx, issuer)
		k.mu.Lock()
		k.finish(issuer, e, set, refresh, err)
		e.flight = nil
		k.mu.Unlock()
		close(flight)
	})
	return flight
}

// finish records the result of a fetch; k.mu is held. A failure leaves the old set in place.
func (k *Keys) finish(issuer string, e *entry, set *jose.KeySet, refresh time.Duration, err error) {
	now := k.now()
	if e.err = err; err != nil {
		pause := min(MinRetry<<min(e.failures, 8), MaxRetry)
		e.failures++
		e.retryAt = now.Add(pause)
		k.log.Warn("key set could not be fetched", "iss", issuer, "err", err, "retry_in", pause.String(),
			"old_keys_until", e.expires)
		return
	}
	k.replace(e, set)
	e.failures, e.retryAt = 0, time.Time{}
	e.refreshAt, e.expires = now.Add(refresh), now.Add(k.expiry)
}

func (k *Keys) fetch(ctx context.Context, issuer string) (*jose.KeySet, time.Duration, error) {
	md, err := Discover(ctx, k.hc, issuer)
	if err != nil {
		return nil, 0, err
	}
	set, skipped, refresh, err := fetchKeys(ctx, k.hc, md)
	for _, s := range skipped {
		k.log.Warn("key left out of the set", "iss", issuer, "err", s)
	}
	return set, refresh, err
}

// FetchKeys fetches the key set of a provider once, for a command that ends afterwards. skipped are the keys that were
// left out, and why.
func FetchKeys(ctx context.Context, hc Getter, md *Metadata) (set *jose.KeySet, skipped []error, err error) {
	set, skipped, _, err = fetchKeys(ctx, hc, md)
	return set, skipped, err
}

func fetchKeys(
	ctx context.Context, hc Getter, md *Metadata,
) (set *jose.KeySet, skipped []error, refresh time.Duration, err error) {
	if md.JWKSURI == "" {
		return nil, nil, 0, fmt.Errorf("%w: it has no jwks_uri", ErrMetadata)
	}
	r, err := hc.Get(ctx, md.JWKSURI)
	if err != nil {
		return nil, nil, 0, err
	}
	if r.Status != http.StatusOK {
		return nil, nil, 0, &StatusError{URL: md.JWKSURI, Status: r.Status}
	}
	set, skipped, err = jose.ParseKeySet(r.Body)
	return set, skipped, refreshAfter(r.Header), err
}

// refreshAfter is the max-age of the answer, kept within what is sensible.
func refreshAfter(h http.Header) time.Duration {
	return min(max(maxAge(h), MinRefresh), MaxRefresh)
}
