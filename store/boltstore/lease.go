package boltstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// localPoll and homePoll bound the wait for a lease: whoever shares our file tells us of a release, but a clock
	// that is not the system's, or another node, does not.
	localPoll = 100 * time.Millisecond
	homePoll  = 250 * time.Millisecond
)

var errHeld = errors.New("lease is held")

// grant is the row of a lease. A released one stays, so that the fence goes on growing.
type grant struct {
	Fence   uint64  `json:"fence"`
	Until   int64   `json:"until"`             // store.Millis
	Session string  `json:"session,omitempty"` // of the engine that holds it; empty when released
	Owner   process `json:"owner"`
}

type lease struct {
	engine *Engine
	name   string
	fence  uint64
}

// Lease waits for name. A holder that has died gives it back at once where that can be seen: always when the file is
// local, since nobody else has it open, and on the same machine in network mode.
func (e *Engine) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	if e.o.ReadOnly {
		return nil, store.ErrReadOnly
	}
	if err := store.CheckLeaseName(name); err != nil {
		return nil, err
	}
	for {
		given, err := e.givenBack()
		if err != nil {
			return nil, err
		}
		wait, err := e.peekLease(ctx, name)
		if err == nil {
			var l store.Lease
			l, wait, err = e.tryLease(ctx, name, ttl)
			if err == nil {
				return l, nil
			}
		}
		if !errors.Is(err, errHeld) {
			return nil, err
		}
		if err := e.waitForLease(ctx, given, wait); err != nil {
			return nil, err
		}
	}
}

// peekLease looks without writing: in network mode an update would take the lock at home.
func (e *Engine) peekLease(ctx context.Context, name string) (wait time.Duration, err error) {
	t, err := e.beginRead(ctx)
	if err != nil {
		return 0, err
	}
	defer t.rollback()
	g, err := t.grant(name)
	if err == nil && g.taken(e, t.now) {
		return time.UnixMilli(g.Until).Sub(t.now), errHeld
	}
	return 0, err
}

func (e *Engine) tryLease(ctx context.Context, name string, ttl time.Duration) (store.Lease, time.Duration, error) {
	var wait time.Duration
	l := &lease{engine: e, name: name}
	err := e.update(ctx, func(t *tx) error {
		old, err := t.grant(name)
		if err != nil {
			return err
		}
		if old.taken(e, t.now) {
			wait = time.UnixMilli(old.Until).Sub(t.now)
			return errHeld
		}
		l.fence = old.Fence + 1
		return t.setGrant(name, grant{
			Fence: l.fence, Until: store.Millis(t.now.Add(ttl)), Session: e.session, Owner: e.self,
		})
	})
	if err != nil {
		return nil, wait, err
	}
	return l, 0, nil
}

func (e *Engine) waitForLease(ctx context.Context, given <-chan struct{}, wait time.Duration) error {
	poll := localPoll
	if e.home != nil {
		poll = homePoll/2 + rand.N(homePoll/2)
	}
	timer := time.NewTimer(max(min(wait, poll), time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-given:
		return nil
	case <-e.stop:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// givenBack returns the channel that the next Release in this process closes.
func (e *Engine) givenBack() (<-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, store.ErrClosed
	}
	return e.released, nil
}

func (g grant) taken(e *Engine, now time.Time) bool {
	if g.Session == "" || store.Expired(g.Until, now) {
		return false
	}
	if g.Session == e.session {
		return true
	}
	return e.home != nil && !g.Owner.dead(e.self)
}

// held reports whether the engine holds the lease with this fence.
func (g grant) held(e *Engine, fence uint64, now time.Time) bool {
	return g.Fence == fence && g.Session == e.session && !store.Expired(g.Until, now)
}

func (t *tx) grant(name string) (g grant, err error) {
	raw, err := t.get(leaseBucket, []byte(name))
	if err != nil || raw == nil {
		return grant{}, err
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		return grant{}, corrupt("row of a lease: %v", err)
	}
	return g, nil
}

func (t *tx) setGrant(name string, g grant) error {
	raw, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode lease: %w", err)
	}
	t.changes.set(leaseBucket, []byte(name), raw)
	return nil
}

func (t *tx) checkLeases(e *Engine, held []store.Lease) error {
	for _, l := range held {
		g, err := t.grant(l.Name())
		if err != nil {
			return err
		}
		if !g.held(e, l.Fence(), t.now) {
			return store.ErrFenced
		}
	}
	return nil
}

func (l *lease) Name() string { return l.name }

func (l *lease) Fence() uint64 { return l.fence }

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	e := l.engine
	return e.update(ctx, func(t *tx) error {
		g, err := t.grant(l.name)
		if err != nil {
			return err
		}
		if !g.held(e, l.fence, t.now) {
			return store.ErrFenced
		}
		g.Until = store.Millis(t.now.Add(ttl))
		return t.setGrant(l.name, g)
	})
}

func (l *lease) Release(ctx context.Context) error {
	e := l.engine
	err := e.update(ctx, func(t *tx) error {
		g, err := t.grant(l.name)
		if err != nil || g.Fence != l.fence || g.Session != e.session {
			return err
		}
		g.Session, g.Owner = "", process{}
		return t.setGrant(l.name, g)
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.released)
	e.released = make(chan struct{})
	return nil
}
