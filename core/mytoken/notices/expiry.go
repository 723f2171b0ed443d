package notices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/store"
)

// steps are how long before its end a mytoken is announced to end, the first one first.
func steps() []time.Duration {
	return []time.Duration{30 * day, 14 * day, 7 * day, 3 * day, day, 3 * time.Hour, 0}
}

// late is how long after the end it is still worth saying.
const late = 7 * day

// dueStep returns the newest step that is due, counted from 1, and when it was; 0 for none. Steps before half the life
// of a mytoken are left out: what lives for a day is not announced to end when it is made. Older ones that were missed
// are left out too.
func dueStep(created, expires, now time.Time, rotation time.Duration) (step int, at time.Time) {
	life := expires.Sub(created)
	if rotation > 0 { // each rotation gives it as much again: what matters is the life of the newest
		life = min(life, rotation)
	}
	if now.Sub(expires) > late {
		return 0, time.Time{}
	}
	for i, before := range steps() {
		if t := expires.Add(-before); before <= life/2 && !now.Before(t) {
			step, at = i+1, t
		}
	}
	return step, at
}

// schedule announces the ends that are due, for everybody who wants that. A record that cannot be read keeps the rest
// from nothing.
func (n *Notices) schedule(ctx context.Context, held store.Lease) error {
	wanted := make(map[string][]subRecord)
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		clear(wanted)
		return scan(tx, func(key []string, r *subRecord) error {
			if covers(r.Classes, desk.ClassExpiration) {
				wanted[key[0]] = append(wanted[key[0]], *r)
			}
			return nil
		}, kindSub)
	})
	if err != nil {
		return fmt.Errorf("look for mytokens that end: %w", err)
	}
	var errs []error
	for user, subs := range wanted {
		if err := held.Renew(ctx, n.o.Lease); err != nil {
			return fmt.Errorf("look for mytokens that end: %w", errors.Join(append(errs, err)...))
		}
		errs = append(errs, n.scheduleFor(ctx, held, user, subs))
	}
	return errors.Join(errs...)
}

func (n *Notices) scheduleFor(ctx context.Context, held store.Lease, user string, subs []subRecord) error {
	all, err := n.o.Tokens.List(ctx, user)
	if err != nil {
		return fmt.Errorf("look for mytokens that end: %w", err)
	}
	tags, err := n.marks(ctx, user, byTag(subs))
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range all {
		if step, sub := n.dueFor(t, tags(t), subs); step > 0 {
			errs = append(errs, n.announce(ctx, held, t, step, sub))
		}
	}
	return errors.Join(errs...)
}

// dueFor returns the step of a mytoken that is due for one of the notifications, 0 for none. What was due before
// somebody subscribed is not.
func (n *Notices) dueFor(t ledger.Token, tags []string, subs []subRecord) (int, *subRecord) {
	if t.Expires.IsZero() || t.Condition == ledger.Ended {
		return 0, nil
	}
	var rotation time.Duration
	if t.Rotation != nil {
		rotation = t.Rotation.Lifetime
	}
	step, at := dueStep(t.Created, t.Expires, n.now(), rotation)
	if step == 0 {
		return 0, nil
	}
	for i := range subs {
		if since, ok := subs[i].concerns(subject{t.MOMID, t.Path, tags}); ok && !at.Before(since) {
			return step, &subs[i]
		}
	}
	return 0, nil
}

// announce puts the mail of a step into the outbox, unless that was done: whoever else does the same at the same time.
func (n *Notices) announce(ctx context.Context, held store.Lease, t ledger.Token, step int, sub *subRecord) error {
	said := func(r *tokenRecord) bool { return r.Muted || r.Expires.Equal(t.Expires) && r.Step >= step }
	var done bool
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		r, err := get[tokenRecord](tx, kindToken, t.User, t.MOMID)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		done = err == nil && said(r)
		return err
	})
	if err != nil || done {
		return err
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, t.User)
		if err != nil {
			return err
		}
		r, err := token(tx, t.User, t.MOMID)
		if err != nil || said(r) {
			return err
		}
		r.Expires, r.Step = t.Expires, step
		return errors.Join(
			n.enqueue(tx, t.User, p, n.ending(p, t, r, sub)),
			savePerson(tx, t.User, p), saveToken(tx, t.User, t.MOMID, r))
	}, held)
	if errors.Is(err, errNoRoom) {
		return nil // tomorrow it is the same step, or a later one
	}
	if err != nil {
		return fmt.Errorf("announce the end of a mytoken: %w", err)
	}
	return nil
}
