package notices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

// deliver sends one mail. Before, its row says who has it in hand; after, it is gone, or says when it is tried again.
// A *mail.Error says that the connection cannot be used any more, or that the server takes nothing at all.
func (n *Notices) deliver(ctx context.Context, held store.Lease, c Session, w waiting) error {
	b, err := n.claim(ctx, held, w)
	if err != nil || b == nil {
		return err
	}
	to, err := mail.ParseAddress(b.To)
	if err != nil { // it was when it was kept: the rules have changed since
		return n.settle(ctx, held, w, "refused")
	}
	// A mail under way is seen through although the server stops: else nobody knows what became of it.
	err = c.Send(context.WithoutCancel(ctx), mail.Message{
		ID: "mytoken." + w.name + "@" + n.o.From.Domain(), Date: w.out.Created, To: to, Subject: b.Subject,
		Text: b.Text, HTML: b.HTML, Invitation: b.Invitation, Unsubscribe: b.Unsubscribe,
	})
	var failed *mail.Error
	switch {
	case err == nil:
		return n.settle(ctx, held, w, "sent")
	case !errors.As(err, &failed):
		n.o.Log.ErrorContext(ctx, "a mail cannot be sent as it is", "err", err)
		return n.settle(ctx, held, w, "refused")
	case failed.Permanent:
		n.o.Log.InfoContext(ctx, "the mail server refuses a mail", "err", failed)
		return n.settle(ctx, held, w, "refused")
	case failed.Unknown && w.out.Once:
		return errors.Join(n.settle(ctx, held, w, "unknown"), failed)
	}
	if err := n.retry(ctx, held, w); err != nil {
		return err
	}
	if failed.Code == 0 || failed.Stage == "sender" {
		return failed
	}
	return nil
}

// claim marks a mail as in hand and returns what is in it; nil when there is nothing to send any more.
func (n *Notices) claim(ctx context.Context, held store.Lease, w waiting) (b *bodyRecord, err error) {
	if w.out.Sending != 0 && w.out.Once {
		// Whoever had it in hand is gone, or this process failed to write down what became of it.
		n.o.Log.WarnContext(ctx, "it is not known whether a mail was sent; it is not sent again")
		return nil, n.settle(ctx, held, w, "unknown")
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		r, err := getForUpdate[outRecord](tx, kindOut, w.user, w.name)
		if err != nil {
			return err
		}
		if b, err = get[bodyRecord](tx, kindBody, w.user, w.name); err != nil {
			return err
		}
		r.Sending = held.Fence()
		r.Attempts++
		return put(tx, r, w.expires(b), kindOut, w.user, w.name)
	}, held)
	if errors.Is(err, ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take a mail in hand: %w", err)
	}
	return b, nil
}

// settle ends a mail.
func (n *Notices) settle(ctx context.Context, held store.Lease, w waiting, outcome string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	n.o.Count(outcome)
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		return errors.Join(remove(tx, kindOut, w.user, w.name), remove(tx, kindBody, w.user, w.name))
	}, held)
	if err != nil {
		return fmt.Errorf("note what became of a mail: %w", err)
	}
	return nil
}

// retry puts a mail back, for later.
func (n *Notices) retry(ctx context.Context, held store.Lease, w waiting) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	n.o.Count("put off")
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		r, err := getForUpdate[outRecord](tx, kindOut, w.user, w.name)
		if err != nil {
			return err
		}
		b, err := get[bodyRecord](tx, kindBody, w.user, w.name)
		if err != nil {
			return err
		}
		r.Sending = 0
		r.Next = n.now().Add(backoff(r.Attempts))
		if !r.Next.Before(w.expires(b)) {
			n.o.Count("given up")
			n.o.Log.WarnContext(ctx, "a mail is given up: the mail server did not take it", "attempts", r.Attempts)
			return errors.Join(remove(tx, kindOut, w.user, w.name), remove(tx, kindBody, w.user, w.name))
		}
		return put(tx, r, w.expires(b), kindOut, w.user, w.name)
	}, held)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("put a mail off: %w", err)
	}
	return nil
}

// expires is when a mail is given up.
func (w waiting) expires(b *bodyRecord) time.Time { return w.out.Created.Add(b.Life) }
