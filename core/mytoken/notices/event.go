package notices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/store"
)

// Notice takes something that a person may want to hear of. It never blocks: it is for desk.Options.Notify.
func (n *Notices) Notice(_ context.Context, e desk.Notice) {
	if !n.Mails() || e.Class == desk.ClassCreated && e.Email == "" && (e.Wishes == nil || len(e.Wishes.Subscribe) == 0) {
		return
	}
	select {
	case n.queue <- e:
	default:
		n.dropped.Add(1)
		n.o.Count("notice lost")
	}
}

// cache remembers what people have subscribed to, so that what most of them have not costs nothing. What another
// process changes is seen when an entry is old.
type cache struct {
	mu  sync.Mutex
	all map[string]cached
}

type cached struct {
	subs  []subRecord
	until time.Time
}

const (
	cacheFor = 20 * time.Second
	maxCache = 10_000
)

func (c *cache) forget(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, user)
}

// subscribed is subscriptions from the cache.
func (n *Notices) subscribed(ctx context.Context, user string) ([]subRecord, error) {
	now := n.now()
	n.subs.mu.Lock()
	c, ok := n.subs.all[user]
	n.subs.mu.Unlock()
	if ok && now.Before(c.until) {
		return c.subs, nil
	}
	all, err := n.subscriptions(ctx, user)
	if err != nil {
		return nil, err
	}
	n.subs.mu.Lock()
	defer n.subs.mu.Unlock()
	if len(n.subs.all) >= maxCache {
		clear(n.subs.all)
	}
	n.subs.all[user] = cached{all, now.Add(cacheFor)}
	return all, nil
}

// wanting returns the notifications that are about an event.
func (n *Notices) wanting(ctx context.Context, e desk.Notice) ([]subRecord, error) {
	all, err := n.subscribed(ctx, e.User)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(r subRecord) bool { return !covers(r.Classes, e.Class) })
	if len(all) == 0 {
		return nil, nil
	}
	about := subject{momID: e.MOMID}
	if slices.ContainsFunc(all, func(r subRecord) bool { return !r.Wide }) {
		t, err := n.o.Tokens.Find(ctx, e.MOMID)
		if err != nil && !errors.Is(err, ledger.ErrUnknown) {
			return nil, err
		}
		tags, err := n.marks(ctx, e.User, byTag(all))
		if err != nil {
			return nil, err
		}
		about.path, about.tags = t.Path, tags(t)
	}
	return slices.DeleteFunc(all, func(r subRecord) bool {
		_, ok := r.concerns(about)
		return !ok
	}), nil
}

// take turns an event into a mail, or adds it to a sum: where there are many of the kind, or the person has had many
// mails already.
func (n *Notices) take(ctx context.Context, e desk.Notice) error {
	if e.Class == desk.ClassCreated {
		return n.created(ctx, e)
	}
	subs, err := n.wanting(ctx, e)
	if err != nil || len(subs) == 0 {
		return err
	}
	if e.Class == desk.ClassAccess {
		n.sum(e, subs[0].ID)
		return nil
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, e.User)
		if err != nil {
			return err
		}
		if p.deliver() == "" {
			return nil
		}
		if !p.Hour.take(n.now(), time.Hour, n.o.Limits.PerHour) {
			return errNoRoom
		}
		return errors.Join(n.enqueue(tx, e.User, p, n.event(p, e, &subs[0])), savePerson(tx, e.User, p))
	})
	if errors.Is(err, errNoRoom) {
		n.sum(e, subs[0].ID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep a mail about an event: %w", err)
	}
	n.stir()
	return nil
}

// wish is a notification that was asked for with a mytoken.
type wish struct {
	Children bool     `json:"include_children"`
	Type     string   `json:"notification_type"`
	Classes  []string `json:"notification_classes"`
}

// maxWishes bounds them.
const maxWishes = 10

// created learns the address that the provider tells, and makes the notifications that were asked for with a mytoken.
// What cannot be had is left out: the mytoken is there already, and a list shows what is subscribed.
func (n *Notices) created(ctx context.Context, e desk.Notice) error {
	if e.Email != "" {
		if err := n.Learn(ctx, e.User, e.Email, e.EmailVerified); err != nil {
			return err
		}
	}
	if e.Wishes == nil || len(e.Wishes.Subscribe) == 0 {
		return nil
	}
	var all []wish
	if err := json.Unmarshal(e.Wishes.Subscribe, &all); err != nil || len(all) > maxWishes {
		n.o.Log.DebugContext(ctx, "the notifications asked for with a mytoken cannot be read")
		return nil //nolint:nilerr // it is what the person wrote
	}
	for _, w := range all {
		var err error
		switch w.Type {
		case mytoken.NotifyMail:
			_, err = n.subscribe(ctx, e.User, subscription{classes: w.Classes, momID: e.MOMID, children: w.Children})
		case mytoken.NotifyInvite:
			err = n.invite(ctx, e.User, e.MOMID, mytoken.NotificationRequest{IncludeChildren: w.Children})
		}
		var refused *desk.Error
		if err != nil && !errors.As(refusal(err), &refused) {
			return err
		}
	}
	return nil
}

// intake works off what Notice was told, and writes sums down, until ctx ends; then what waits is worked off first.
func (n *Notices) intake(ctx context.Context) {
	every := time.NewTicker(flushEvery)
	defer every.Stop()
	for {
		select {
		case e := <-n.queue:
			n.took(ctx, e)
		case <-every.C:
			n.flush(ctx)
			if lost := n.dropped.Swap(0); lost > 0 {
				n.o.Log.WarnContext(ctx, "events came faster than they could be told of; some are lost", "lost", lost)
			}
		case <-ctx.Done():
			n.drain(ctx)
			return
		}
	}
}

// drain works off what waits, for as long as a stop may take.
func (n *Notices) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for {
		select {
		case e := <-n.queue:
			n.took(ctx, e)
		default:
			n.flush(ctx)
			return
		}
	}
}

func (n *Notices) took(ctx context.Context, e desk.Notice) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if err := n.take(ctx, e); err != nil {
		n.o.Count("notice lost")
		n.o.Log.WarnContext(ctx, "an event was not told of", "class", e.Class, "err", err)
	}
}
