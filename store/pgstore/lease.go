package pgstore

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// Bounds of the wait between two looks at a lease that another process holds.
const (
	leaseFirst = 10 * time.Millisecond
	leaseLong  = 250 * time.Millisecond
)

var errHeld = errors.New("lease is held")

type lease struct {
	engine *Engine
	name   string
	fence  uint64
}

// Lease waits for name. A holder in this process wakes it; one in another is noticed within a quarter of a second.
func (e *Engine) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckLeaseName(name); err != nil {
		return nil, err
	}
	owner := []byte(rand.Text())
	for wait := leaseFirst; ; wait = min(2*wait, leaseLong) {
		given, err := e.givenBack()
		if err != nil {
			return nil, err
		}
		fence, left, err := e.take(ctx, []byte(name), owner, ttl)
		if err == nil {
			return &lease{engine: e, name: name, fence: fence}, nil
		}
		if !errors.Is(err, errHeld) {
			return nil, err
		}
		timer := time.NewTimer(min(wait, max(left, time.Millisecond)))
		select {
		case <-timer.C:
		case <-given:
			wait = leaseFirst
		case <-e.closed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// take takes the lease, or fails with errHeld and says for how long. It looks first, because trying writes.
func (e *Engine) take(ctx context.Context, name, owner []byte, ttl time.Duration) (
	fence uint64, left time.Duration, err error,
) {
	err = e.changeLease(ctx, func(t *tx) error {
		var until int64
		_, err := t.ask(func(r row) error { return r.scan(&until) }, t.e.sql.leaseLeft, name, owner)
		if err != nil {
			return t.fail("look at lease", err)
		}
		if left = time.Duration(until-t.now) * time.Millisecond; left > 0 {
			return errHeld
		}
		var got int64
		n, err := t.ask(func(r row) error { return r.scan(&got) },
			t.e.sql.leaseTake, name, t.now+ttl.Milliseconds(), owner, t.now)
		if err != nil {
			return t.fail("take lease", err)
		}
		if n == 0 { // somebody was faster
			left = leaseFirst
			return errHeld
		}
		fence = uint64(got) //nolint:gosec // counts up from 1
		return nil
	})
	return fence, left, err
}

// changeLease runs fn in a transaction. All that fn does may be done twice, so an unknown outcome is tried again.
func (e *Engine) changeLease(ctx context.Context, fn func(*tx) error) error {
	return e.again(ctx, func() error {
		err := e.update(ctx, func(t *tx) error {
			t.writes++ // a lost answer to COMMIT is not one to be passed over
			if err := t.begun(); err != nil {
				return err
			}
			return fn(t)
		})
		if errors.Is(err, store.ErrUnknown) {
			return &failure{err: err, again: true}
		}
		return err
	})
}

// givenBack returns the channel that the next Release in this process closes.
func (e *Engine) givenBack() (<-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isClosed() {
		return nil, store.ErrClosed
	}
	return e.released, nil
}

func (l *lease) Name() string { return l.name }

func (l *lease) Fence() uint64 { return l.fence }

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.engine.changeLease(ctx, func(t *tx) error {
		n, err := t.ask(nil, t.e.sql.leaseKeep, []byte(l.name), int64(l.fence), t.now+ttl.Milliseconds(), t.now)
		if err != nil {
			return t.fail("renew lease", err)
		}
		if n == 0 {
			return store.ErrFenced
		}
		return nil
	})
}

func (l *lease) Release(ctx context.Context) error {
	e := l.engine
	err := e.changeLease(ctx, func(t *tx) error {
		_, err := t.ask(nil, t.e.sql.leaseGive, []byte(l.name), int64(l.fence))
		return t.fail("release lease", err)
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

// checkHeld fails with store.ErrFenced unless all are held, and keeps them so until the transaction ends: who wants to
// take one over waits for us.
func (t *tx) checkHeld(held []store.Lease) error {
	if len(held) == 0 {
		return nil
	}
	if err := t.begun(); err != nil {
		return err
	}
	for _, l := range held {
		n, err := t.ask(nil, t.e.sql.leaseHeld, []byte(l.Name()), int64(l.Fence()), t.now) //nolint:gosec // counts up from 1
		if err != nil {
			return t.fail("check lease", err)
		}
		if n == 0 {
			return store.ErrFenced
		}
	}
	return nil
}
