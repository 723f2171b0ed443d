package custody

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// hold is the lease of a login, renewed until it is dropped.
type hold struct {
	lease store.Lease
	lost  atomic.Bool
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// leases are what a change of the record depends on.
func (l *login) leases() []store.Lease {
	if l.hold == nil || l.hold.lost.Load() {
		return nil
	}
	return []store.Lease{l.hold.lease}
}

// takeHold makes this process the only one that refreshes the login. It may be already, when saving failed before.
func (k *Keeper) takeHold(ctx context.Context, f *flight, l *login) error {
	if l.hold != nil && !l.hold.lost.Load() {
		return nil
	}
	k.endHold(ctx, l)
	waiting, done := k.wait(ctx, f)
	defer done()
	lease, err := k.eng.Lease(waiting, leaseName(f.id), k.opts.LeaseTTL)
	if err != nil && waiting.Err() != nil {
		return waited(waiting)
	}
	if err != nil {
		return fmt.Errorf("wait for other processes: %w", err)
	}
	renewing, stop := context.WithCancel(ctx)
	h := &hold{lease: lease, stop: stop}
	h.wg.Go(func() { k.renew(renewing, f.id, h) })
	l.hold = h
	return nil
}

// leaseName keeps names short, as the store wants them.
func leaseName(id string) string {
	const kind = "refresh/"
	if len(kind)+len(id) > store.MaxTable {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return kind + id
}

func (k *Keeper) renew(ctx context.Context, id string, h *hold) {
	tick := time.NewTicker(k.opts.LeaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := h.lease.Renew(ctx, k.opts.LeaseTTL)
		if errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrClosed) {
			h.lost.Store(true)
			k.opts.Log.WarnContext(ctx, "another process took over the refreshing of a login", "login", id, "err", err)
			return
		}
	}
}

// dropHold lets other processes refresh the login again, unless there is a token that they do not see yet.
func (k *Keeper) dropHold(ctx context.Context, l *login) {
	k.mu.Lock()
	keep := l.unsaved != nil
	k.mu.Unlock()
	if !keep {
		k.endHold(ctx, l)
	}
}

func (k *Keeper) endHold(ctx context.Context, l *login) {
	h := l.hold
	if h == nil {
		return
	}
	l.hold = nil
	h.stop()
	h.wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, k.opts.Wait)
	defer cancel()
	if err := h.lease.Release(ctx); err != nil {
		k.opts.Log.WarnContext(ctx, "other processes have to wait: a lease was not given back", "login", l.id, "err", err)
	}
}
