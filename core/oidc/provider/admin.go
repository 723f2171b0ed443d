package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/sorted"
)

// Trusted is an issuer whose keys are to be kept.
type Trusted struct {
	Issuer    string
	Lifetimes Lifetimes // zero: those of the cache
}

// Trust names the issuers whose keys are kept from now on; asking for any other fails with ErrNotKept. It may be
// called again, for a configuration that was read anew: the keys of issuers that stay are kept and judged by the new
// lifetimes, those of the others are forgotten. Keys of new issuers are taken from the directory where it has them;
// nothing is fetched.
func (k *Keys) Trust(list []Trusted) {
	named := make(map[string]Lifetimes, len(list))
	for _, t := range list {
		life := k.life
		if t.Lifetimes != (Lifetimes{}) {
			life = t.Lifetimes.orDefault()
		}
		named[t.Issuer] = life
	}
	k.mu.Lock()
	k.limited = true
	k.entries.Range(func(issuer, _ any) bool {
		if _, stays := named[issuer.(string)]; !stays {
			k.entries.Delete(issuer)
		}
		return true
	})
	k.mu.Unlock()
	for issuer, life := range named {
		found, was := k.entries.LoadOrStore(issuer, &entry{issuer: issuer, life: life})
		k.adopt(found.(*entry), life, was)
	}
	k.nudge()
}

// adopt gives an entry its lifetimes and, when it is new, the keys of the directory.
func (k *Keys) adopt(e *entry, life Lifetimes, was bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.life = life
	if old := e.held.Load(); old != nil {
		h := *old
		h.within(life)
		e.held.Store(&h)
	}
	if was {
		return
	}
	if got := k.dir.load(e.issuer, k.log); got.usable(k.now(), life) {
		k.finish(e, got, nil)
	}
}

// Status is what is known of the keys of one issuer.
type Status struct {
	Issuer     string
	Keys       int      // in use now
	KeyIDs     []string // theirs
	Fetched    time.Time
	NextTry    time.Time // when a set is asked for next: the refresh, or after a failure the next attempt
	Expires    time.Time // not used from then on
	Failures   int       // since the last success
	Err        error     // of the last attempt; nil after a success
	ErrAt      time.Time
	Generation uint64 // 0: no keys in use
	FromDisk   bool   // found in the directory, not fetched by this process
	Lifetimes  Lifetimes
}

// Status returns what is known of every issuer, in the order of their names. It waits for nothing.
func (k *Keys) Status() []Status {
	var list []Status
	now := k.now()
	k.entries.Range(func(_, e any) bool {
		list = append(list, e.(*entry).status(now))
		return true
	})
	sorted.By(list, func(a, b Status) int { return strings.Compare(a.Issuer, b.Issuer) })
	return list
}

func (e *entry) status(now time.Time) Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{
		Issuer: e.issuer, Failures: e.failures, Err: e.err, ErrAt: e.errAt, NextTry: e.retryAt, Lifetimes: e.life,
	}
	h := e.held.Load()
	if h == nil {
		return s
	}
	s.Fetched, s.Expires, s.FromDisk = h.fetched, h.expires, h.fromDisk
	if !h.usable(now) {
		return s
	}
	s.NextTry = h.lookAt
	s.Keys, s.Generation = h.set.Len(), h.generation
	for _, key := range h.set.Keys() {
		s.KeyIDs = append(s.KeyIDs, key.ID())
	}
	return s
}

// Refresh fetches the keys of issuer now, whatever their age and whatever failed before, and waits for the result. When
// it fails the old keys stay in use. The error is ErrNotKept, an *UnavailableError or that of ctx.
func (k *Keys) Refresh(ctx context.Context, issuer string) error {
	e, err := k.entry(issuer)
	if err != nil {
		return err
	}
	_, err = k.obtain(ctx, e, ask{why: order})
	return err
}

// Drop is for the day a key was stolen. It forgets the keys of issuer, in memory and in the directory, together with
// what a fetch under way will bring, and fetches them anew: until that has succeeded no token of the issuer is
// accepted. The error is ErrNotKept, ErrNotForgotten, or that of Refresh; with the last the old keys are forgotten.
func (k *Keys) Drop(ctx context.Context, issuer string) error {
	e, err := k.entry(issuer)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.held.Store(nil)
	e.flight = nil // its result counts for nothing
	e.forced, e.retryAt, e.failures, e.err, e.errAt = time.Time{}, time.Time{}, 0, nil, time.Time{}
	at := k.now()
	e.mu.Unlock()
	k.log.Warn("keys of an issuer were dropped", "iss", issuer)
	if err = k.dir.drop(issuer, at); err != nil {
		err = fmt.Errorf("%w: drop keys of %s: %w", ErrNotForgotten, issuer, err)
	}
	return errors.Join(err, k.Refresh(ctx, issuer))
}

// atOnce is how many issuers Run asks at the same time.
const atOnce = 16

// Run keeps the sets of all known issuers fresh until ctx has ended, so that no request waits for an issuer, and one
// that nobody has asked about for days is not found out of reach just then. Close waits for the fetches that are under
// way when Run returns.
func (k *Keys) Run(ctx context.Context) {
	for {
		next := k.tend(ctx)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-k.moved:
			timer.Stop()
		}
	}
}

// tend starts the fetches that are due and returns how long there is nothing to do. A fetch that ends nudges.
func (k *Keys) tend(ctx context.Context) time.Duration {
	next, running := MaxRetry, 0
	k.entries.Range(func(_, found any) bool {
		e := found.(*entry)
		now := k.now()
		e.mu.Lock()
		defer e.mu.Unlock()
		due, w := e.retryAt, need
		if h := e.held.Load(); h.usable(now) {
			due, w = h.lookAt, renew
		}
		switch {
		case e.flight != nil:
			running++
		case now.Before(due):
			next = min(next, due.Sub(now))
		case running < atOnce:
			running++
			k.start(ctx, e, ask{why: w})
		}
		return true
	})
	return max(next, time.Second)
}

// nudge makes Run look again.
func (k *Keys) nudge() {
	select {
	case k.moved <- struct{}{}:
	default:
	}
}
