package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

const (
	leaseName = "mytoken.notices"
	// leaseTTL is far above what one mail may take (core/transport/mail: 20 s to connect, 45 s to send).
	leaseTTL = 3 * time.Minute
	// turnEvery is how often the outbox is looked at that other processes write into.
	turnEvery = 10 * time.Second
	tidyEvery = time.Hour
	// perSession is how many mails go over one connection.
	perSession = 100
)

// sender is what the process remembers that sends. Only its goroutine uses it.
type sender struct {
	again     time.Time // when the mail server is tried again
	failures  int       // in a row
	scheduled time.Time
	tidied    time.Time
}

// Run takes what Notice is told, announces ends, sends, and sweeps, until ctx ends; the mail that is being sent is sent
// to the end. Of all processes on a store one sends; the others wait for their turn.
func (n *Notices) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { n.intake(ctx) })
	for ctx.Err() == nil {
		if err := n.lead(ctx); err != nil && ctx.Err() == nil {
			n.o.Log.WarnContext(ctx, "sending mails is interrupted", "err", err)
			pause(ctx, turnEvery)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// lead is what the one process does that holds the lease, until it loses it.
func (n *Notices) lead(ctx context.Context) error {
	held, err := n.o.Engine.Lease(ctx, leaseName, n.o.Lease)
	if err != nil {
		return fmt.Errorf("wait for being the sender: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := held.Release(ctx); err != nil {
			n.o.Log.WarnContext(ctx, "the next sender has to wait", "err", err)
		}
	}()
	for ctx.Err() == nil {
		if err := n.turn(ctx, held); err != nil {
			return err
		}
		t := time.NewTimer(turnEvery)
		select {
		case <-ctx.Done():
		case <-n.wake:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// turn does all that is due now.
func (n *Notices) turn(ctx context.Context, held store.Lease) error {
	if err := held.Renew(ctx, n.o.Lease); err != nil {
		return fmt.Errorf("stay the sender: %w", err)
	}
	s, now := &n.sender, n.now()
	var errs []error
	if now.Sub(s.scheduled) >= n.o.Every {
		s.scheduled = now
		errs = append(errs, n.schedule(ctx, held), n.digests(ctx, held))
	}
	if now.Sub(s.tidied) >= tidyEvery {
		s.tidied = now
		errs = append(errs, n.tidy(ctx, held))
	}
	return errors.Join(append(errs, n.send(ctx, held))...)
}

// waiting is a mail of the outbox.
type waiting struct {
	user, name string
	out        outRecord
}

// due returns the mails that are to be sent now, the oldest first, and writes down how many wait.
func (n *Notices) due(ctx context.Context, held store.Lease) ([]waiting, error) {
	var (
		all   []waiting
		count int
		known int
	)
	now := n.now()
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		all, count, known = nil, 0, 0
		if c, err := get[countRecord](tx, kindMeta, metaOutbox); err == nil {
			known = c.Count
		}
		return scan(tx, func(key []string, r *outRecord) error {
			count++
			if !now.Before(r.Next) {
				all = append(all, waiting{key[0], key[1], *r})
			}
			return nil
		}, kindOut)
	})
	if err == nil && count != known {
		err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
			return put(tx, countRecord{Version: recordVersion, Count: count}, time.Time{}, kindMeta, metaOutbox)
		}, held)
	}
	if err != nil {
		return nil, fmt.Errorf("look what is to be sent: %w", err)
	}
	sorted.By(all, func(a, b waiting) int { return a.out.Created.Compare(b.out.Created) })
	return all, nil
}

// send sends what is due. A mail server that cannot be reached is left alone for a while, longer each time.
func (n *Notices) send(ctx context.Context, held store.Lease) error {
	s := &n.sender
	if !n.Mails() || n.now().Before(s.again) {
		return nil
	}
	all, err := n.due(ctx, held)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(all, perSession) {
		if ctx.Err() != nil {
			return nil
		}
		err := n.session(ctx, held, some)
		var failed *mail.Error
		switch {
		case err == nil:
			s.failures, s.again = 0, time.Time{}
		case errors.As(err, &failed):
			s.failures++
			s.again = n.now().Add(backoff(s.failures))
			n.o.Log.WarnContext(ctx, "mails wait: the mail server does not take them", "err", failed, "mails", len(all),
				"again", s.again)
			return nil
		default:
			return err
		}
	}
	return nil
}

// backoff is how long to wait after a number of failures: from half a minute to an hour.
func backoff(failures int) time.Duration {
	return min(time.Hour, 30*time.Second<<min(failures-1, 8))
}

// session sends some mails over one connection. A *mail.Error is one that has nothing to do with any of them.
func (n *Notices) session(ctx context.Context, held store.Lease, some []waiting) error {
	c, err := n.o.Open(ctx)
	if err != nil {
		return asMailError(err)
	}
	defer func() { _ = c.Close() }() // what was taken is taken
	for _, w := range some {
		if ctx.Err() != nil {
			return nil
		}
		if err := held.Renew(ctx, n.o.Lease); err != nil {
			return fmt.Errorf("stay the sender: %w", err)
		}
		if err := n.deliver(ctx, held, c, w); err != nil {
			return err
		}
	}
	return nil
}

func asMailError(err error) error {
	var e *mail.Error
	if errors.As(err, &e) {
		return err
	}
	return &mail.Error{Stage: "connect", Err: err}
}
