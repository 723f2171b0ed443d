package memstore

import (
	"context"
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// leasePoll bounds the wait for a lease that another holder lets expire, for clocks that are not the system's.
const leasePoll = 100 * time.Millisecond

var errHeld = errors.New("lease is held")

// grant is the last holding of a name. A released one stays, so that the fence goes on growing.
type grant struct {
	fence    uint64
	until    int64 // store.Millis
	released bool
}

func (g grant) held(fence uint64, now time.Time) bool {
	return g.fence == fence && g.taken(now)
}

func (g grant) taken(now time.Time) bool {
	return g.fence > 0 && !g.released && !store.Expired(g.until, now)
}

type lease struct {
	engine *Engine
	name   string
	fence  uint64
}

// Lease waits for name.
func (e *Engine) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckLeaseName(name); err != nil {
		return nil, err
	}
	for {
		given, err := e.givenBack()
		if err != nil {
			return nil, err
		}
		l, wait, err := e.tryLease(ctx, name, ttl)
		if !errors.Is(err, errHeld) {
			return l, err
		}
		timer := time.NewTimer(min(wait, leasePoll))
		select {
		case <-timer.C:
		case <-given:
		case <-e.closed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (e *Engine) tryLease(ctx context.Context, name string, ttl time.Duration) (store.Lease, time.Duration, error) {
	var (
		l    = &lease{engine: e, name: name}
		wait time.Duration
	)
	err := e.change(ctx, func(s *state) error {
		now := e.now()
		old := s.leases[name]
		if old.taken(now) {
			wait = time.UnixMilli(old.until).Sub(now)
			return errHeld
		}
		l.fence = old.fence + 1
		s.setLease(name, grant{fence: l.fence, until: store.Millis(now.Add(ttl))})
		return nil
	})
	if err != nil {
		return nil, wait, err
	}
	return l, 0, nil
}

// givenBack returns the channel that the next Release closes.
func (e *Engine) givenBack() (<-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
		return nil, store.ErrClosed
	default:
		return e.released, nil
	}
}

func (l *lease) Name() string { return l.name }

func (l *lease) Fence() uint64 { return l.fence }

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.engine.change(ctx, func(s *state) error {
		now := l.engine.now()
		if !s.leases[l.name].held(l.fence, now) {
			return store.ErrFenced
		}
		s.setLease(l.name, grant{fence: l.fence, until: store.Millis(now.Add(ttl))})
		return nil
	})
}

func (l *lease) Release(ctx context.Context) error {
	e := l.engine
	err := e.change(ctx, func(s *state) error {
		if g := s.leases[l.name]; g.fence == l.fence {
			g.released = true
			s.setLease(l.name, g)
		}
		return nil
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
