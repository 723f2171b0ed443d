package approval

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

const (
	leaseName = "account.approval"
	// leaseTTL is far above what one mail may take (core/transport/mail: 20 s to connect, 45 s to send).
	leaseTTL   = 3 * time.Minute
	perSession = 50
)

// Run tells of what waits, and sends, until ctx ends. Of all processes on a store one does; the others wait for their
// turn.
func (o *Office) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.lead(ctx); err != nil && ctx.Err() == nil {
			o.o.Log.WarnContext(ctx, "mails about requests are interrupted", "err", err)
			o.pause(ctx, min(o.o.Every, 10*time.Second))
		}
	}
}

func (o *Office) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-o.wake:
	case <-t.C:
	}
}

// lead is what the one process does that holds the lease, until it loses it.
func (o *Office) lead(ctx context.Context) error {
	held, err := o.o.Engine.Lease(ctx, leaseName, leaseTTL)
	if err != nil {
		return fmt.Errorf("wait for being the sender: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := held.Release(ctx); err != nil {
			o.o.Log.WarnContext(ctx, "the next sender has to wait", "err", err)
		}
	}()
	for ctx.Err() == nil {
		if err := held.Renew(ctx, leaseTTL); err != nil {
			return fmt.Errorf("stay the sender: %w", err)
		}
		err := o.round(ctx, held)
		if err := errors.Join(err, o.send(ctx, held)); err != nil {
			return err
		}
		o.pause(ctx, o.o.Every)
	}
	return nil
}

// waiting is a mail of the outbox.
type waiting struct {
	key  store.Key
	mail mailRecord
}

// due returns the mails that are to be sent now, the oldest first.
func (o *Office) due(ctx context.Context) ([]waiting, error) {
	var all []waiting
	now := o.o.Now()
	err := o.o.Engine.View(ctx, func(tx store.Tx) error {
		all = nil
		for r, err := range tx.Scan(table(), store.Key{kindMail}) {
			m, err := read[mailRecord](r, err)
			if err != nil {
				return err
			}
			if !now.Before(m.Next) {
				all = append(all, waiting{r.Key, *m})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look what is to be sent: %w", err)
	}
	sorted.By(all, func(a, b waiting) int {
		return cmp.Or(a.mail.Created.Compare(b.mail.Created), cmp.Compare(a.mail.To, b.mail.To))
	})
	return all[:min(len(all), perSession)], nil
}

// send sends what is due. A mail server that cannot be reached is left alone for a while, longer each time.
func (o *Office) send(ctx context.Context, held store.Lease) error {
	if o.o.Open == nil {
		o.last.once.Do(func() { o.o.Log.WarnContext(ctx, "there is no mail server: nobody is told of requests by mail") })
		return nil
	}
	if o.o.Now().Before(o.last.again) {
		return nil
	}
	all, err := o.due(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	err = o.session(ctx, held, all)
	var failed *mail.Error
	if !errors.As(err, &failed) {
		o.last.failures, o.last.again = 0, time.Time{}
		return err
	}
	o.last.failures++
	o.last.again = o.o.Now().Add(backoff(o.last.failures))
	o.o.Log.WarnContext(ctx, "mails about requests wait: the mail server does not take them", "err", failed,
		"mails", len(all), "again", o.last.again)
	return nil
}

// backoff is how long to wait after a number of failures: from half a minute to an hour.
func backoff(failures int) time.Duration {
	return min(time.Hour, 30*time.Second<<min(failures-1, 8))
}

// session sends mails over one connection. A *mail.Error is one that has nothing to do with any of them.
func (o *Office) session(ctx context.Context, held store.Lease, some []waiting) error {
	c, err := o.o.Open(ctx)
	if err != nil {
		var e *mail.Error
		if errors.As(err, &e) {
			return err
		}
		return &mail.Error{Stage: "connect", Err: err}
	}
	defer func() { _ = c.Close() }() // what was taken is taken
	for _, w := range some {
		if ctx.Err() != nil {
			return nil
		}
		if err := held.Renew(ctx, leaseTTL); err != nil {
			return fmt.Errorf("stay the sender: %w", err)
		}
		if err := o.deliver(ctx, held, c, w); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends one mail and writes down what came of it. What the server refuses for good is given up, what it refuses
// for now is tried again. A mail of which nobody knows whether it was taken is sent again, under the same Message-ID.
func (o *Office) deliver(ctx context.Context, held store.Lease, c Session, w waiting) error {
	to, err := mail.ParseAddress(w.mail.To)
	if err != nil {
		return o.drop(ctx, held, w)
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(w.mail.To, w.mail.Created.UnixNano(), w.mail.Text)))
	err = c.Send(ctx, mail.Message{
		ID: hex.EncodeToString(sum[:12]) + "@" + o.o.From.Domain(), Date: w.mail.Created, To: to,
		Subject: w.mail.Subject, Text: w.mail.Text,
	})
	var failed *mail.Error
	switch {
	case err == nil:
		return o.drop(ctx, held, w)
	case errors.Is(err, mail.ErrMessage), errors.As(err, &failed) && failed.Permanent:
		o.o.Log.ErrorContext(ctx, "a mail about a request was refused for good", "err", err)
		return o.drop(ctx, held, w)
	case failed != nil && failed.Code != 0:
		return o.later(ctx, held, w)
	}
	return errors.Join(err, o.later(ctx, held, w))
}

func (o *Office) drop(ctx context.Context, held store.Lease, w waiting) error {
	err := o.o.Engine.Update(ctx, func(tx store.WTx) error { return tx.Delete(table(), w.key) }, held)
	if err != nil {
		return fmt.Errorf("take a mail out of the outbox: %w", err)
	}
	return nil
}

func (o *Office) later(ctx context.Context, held store.Lease, w waiting) error {
	w.mail.Attempts++
	w.mail.Next = o.o.Now().UTC().Add(backoff(w.mail.Attempts))
	err := o.o.Engine.Update(ctx, func(tx store.WTx) error {
		return put(tx, w.key, w.mail, w.mail.Created.Add(keepTrying))
	}, held)
	if err != nil {
		return fmt.Errorf("keep a mail for later: %w", err)
	}
	return nil
}
