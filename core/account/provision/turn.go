package provision

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

const (
	// leaseTime is how long an identity stays blocked on other nodes after the process that worked on it died.
	leaseTime  = 6 * time.Second
	leaseRenew = leaseTime / 3
	// releaseWait is how long giving a lease back may take.
	releaseWait = 2 * time.Second
)

// turns lets one goroutine of this process at a time work on an identity, so that many of them do not poll for a lease.
type turns struct {
	mu   *sync.Mutex
	held map[string]*turn
}

type turn struct {
	token chan struct{} // holds one token while somebody has the turn
	users int           // who has it or waits for it
}

func newTurns() turns { return turns{mu: new(sync.Mutex), held: map[string]*turn{}} }

// take waits for the turn of id. The function it returns gives it back.
func (t turns) take(ctx context.Context, id string) (func(), error) {
	t.mu.Lock()
	own := t.held[id]
	if own == nil {
		own = &turn{token: make(chan struct{}, 1)}
		t.held[id] = own
	}
	own.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.users--; own.users == 0 {
			delete(t.held, id)
		}
	}
	select {
	case own.token <- struct{}{}:
		return func() { <-own.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// exclusive runs fn while nobody else, in any process, works on id. Once it has begun it goes on when the caller is
// gone: half an operation helps nobody. What fn writes has to hold the lease it is given.
func (d *Desk) exclusive(ctx context.Context, id string, fn func(context.Context, store.Lease) error) error {
	waiting, stop := context.WithTimeout(ctx, d.o.Patience)
	defer stop()
	leave, err := d.turns.take(waiting, id)
	if err != nil {
		return d.busy(ctx, err)
	}
	defer leave()
	lease, err := d.o.Store.Lease(waiting, "account "+digest(id), leaseTime)
	if err != nil {
		return d.busy(ctx, err)
	}
	working, end := context.WithTimeout(context.WithoutCancel(ctx), d.o.Patience)
	defer end()
	working, lost := context.WithCancelCause(working)
	var renewing sync.WaitGroup
	renewing.Go(func() { keep(working, lease, lost) })
	err = fn(working, lease)
	lost(nil)
	renewing.Wait()
	giving, done := context.WithTimeout(context.WithoutCancel(ctx), releaseWait)
	defer done()
	if e := lease.Release(giving); e != nil { // it ends by itself
		d.o.Log.Warn("lease of an account was not given back", "lease", lease.Name(), "error", e)
	}
	return err
}

// keep renews the lease until ctx is done, and ends the operation when the lease is lost.
func keep(ctx context.Context, lease store.Lease, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(leaseRenew)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := lease.Renew(ctx, leaseTime); errors.Is(err, store.ErrFenced) {
			lost(err)
			return
		}
	}
}

func (d *Desk) busy(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return &Failure{Message: "Another request for this account is being worked on. Please try again.", Err: err}
}
