package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/store"
)

// subscription is what a notification is to be.
type subscription struct {
	classes  []string
	tags     []string
	wide     bool
	momID    string // where it is not wide; "" where it is about tags alone
	children bool
	comment  string
}

// subscribe makes a notification by mail and returns the code that manages it. Errors: ErrClass, ErrName,
// ErrMailRequired, ErrTooMany.
func (n *Notices) subscribe(ctx context.Context, user string, s subscription) (code string, err error) {
	classes, err := checkClasses(s.classes)
	if err == nil && !validLine(s.comment, maxComment) {
		err = fmt.Errorf("comment: %w", ErrName)
	}
	if err != nil {
		return "", err
	}
	all, err := n.subscriptions(ctx, user)
	if err == nil && len(all) >= n.o.Limits.Notifications {
		err = ErrTooMany
	}
	if err != nil {
		return "", err
	}
	r := subRecord{
		Version: recordVersion, Type: mytoken.NotifyMail, Code: randomCode(managementLength), End: randomCode(codeLength),
		Wide: s.wide, Classes: classes, Tags: s.tags, Comment: s.comment, Created: n.now(),
	}
	if !s.wide && s.momID != "" {
		r.Tokens = []about{{MOMID: s.momID, Children: s.children, Since: r.Created}}
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, user)
		if err != nil {
			return err
		}
		if !p.Verified {
			return ErrMailRequired
		}
		p.NextID++
		r.ID = p.NextID
		return errors.Join(
			savePerson(tx, user, p), saveSub(tx, user, &r),
			keepCode(tx, r.Code, codeRecord{User: user, Purpose: forManaging, Sub: r.ID}),
			keepCode(tx, r.End, codeRecord{User: user, Purpose: forUnsubscribe, Sub: r.ID}))
	})
	if err != nil {
		return "", fmt.Errorf("make a notification: %w", err)
	}
	n.subs.forget(user)
	return r.Code, nil
}

func saveSub(tx store.WTx, user string, r *subRecord) error {
	return put(tx, r, time.Time{}, kindSub, user, id(r.ID))
}

// subscriptions are all of a person, the oldest first.
func (n *Notices) subscriptions(ctx context.Context, user string) (all []subRecord, err error) {
	err = n.o.Engine.View(ctx, func(tx store.Tx) error {
		all = nil
		return scan(tx, func(_ []string, r *subRecord) error {
			all = append(all, *r)
			return nil
		}, kindSub, user)
	})
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	sorted.By(all, func(a, b subRecord) int { return a.ID - b.ID })
	return all, nil
}

// managed is a notification that somebody has the code of, and whose it is.
type managed struct {
	user string
	subRecord
}

// manage returns the notification of a management code. ErrUnknown.
func (n *Notices) manage(ctx context.Context, code string) (m managed, err error) {
	err = n.o.Engine.View(ctx, func(tx store.Tx) error {
		c, err := n.look(tx, code, forManaging)
		if err != nil {
			return err
		}
		r, err := get[subRecord](tx, kindSub, c.User, id(c.Sub))
		if err == nil {
			m = managed{c.User, *r}
		}
		return err
	})
	if err != nil {
		return managed{}, fmt.Errorf("look up a notification: %w", err)
	}
	return m, nil
}

// change edits the notification of a management code. ErrUnknown, and what edit returns.
func (n *Notices) change(ctx context.Context, code string, edit func(user string, r *subRecord) error) error {
	var user string
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		c, err := n.look(tx, code, forManaging)
		if err != nil {
			return err
		}
		user = c.User
		r, err := getForUpdate[subRecord](tx, kindSub, user, id(c.Sub))
		if err != nil {
			return err
		}
		if err := edit(user, r); err != nil {
			return err
		}
		return saveSub(tx, user, r)
	})
	if err != nil {
		return fmt.Errorf("change a notification: %w", err)
	}
	n.subs.forget(user)
	return nil
}

// end deletes the notification of a code, which manages it or ends it. ErrUnknown.
func (n *Notices) end(ctx context.Context, code string, p purpose) error {
	var user string
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		c, err := n.look(tx, code, p)
		if err != nil {
			return err
		}
		user = c.User
		r, err := getForUpdate[subRecord](tx, kindSub, user, id(c.Sub))
		if err != nil {
			return err
		}
		return dropSub(tx, user, r)
	})
	if err != nil {
		return fmt.Errorf("delete a notification: %w", err)
	}
	n.subs.forget(user)
	return nil
}

func dropSub(tx store.WTx, user string, r *subRecord) error {
	return errors.Join(
		dropCode(tx, user, r.Code), dropCode(tx, user, r.End),
		remove(tx, kindDigest, user, id(r.ID)), remove(tx, kindSub, user, id(r.ID)))
}

// addToken makes a notification be about one more mytoken of its owner. Errors: ErrUnknown, ErrTooMany.
func (n *Notices) addToken(ctx context.Context, code, momID string, children bool) error {
	m, err := n.manage(ctx, code)
	if err != nil {
		return err
	}
	if _, err := n.own(ctx, m.user, momID); err != nil {
		return err
	}
	now := n.now()
	return n.change(ctx, code, func(_ string, r *subRecord) error {
		at := slices.IndexFunc(r.Tokens, func(a about) bool { return a.MOMID == momID })
		switch {
		case at >= 0:
			r.Tokens[at].Children = children
		case len(r.Tokens) >= n.o.Limits.Tokens:
			return ErrTooMany
		default:
			r.Tokens = append(r.Tokens, about{MOMID: momID, Children: children, Since: now})
		}
		return nil
	})
}

// removeToken makes a notification no longer be about a mytoken. One that is about none any more stays.
func (n *Notices) removeToken(ctx context.Context, code, momID string) error {
	return n.change(ctx, code, func(_ string, r *subRecord) error {
		before := len(r.Tokens)
		r.Tokens = slices.DeleteFunc(r.Tokens, func(a about) bool { return a.MOMID == momID })
		if len(r.Tokens) == before {
			return ErrUnknown
		}
		return nil
	})
}

// own returns a mytoken of a person. ErrUnknown also for somebody else's.
func (n *Notices) own(ctx context.Context, user, momID string) (ledger.Token, error) {
	t, err := n.o.Tokens.Find(ctx, momID)
	if errors.Is(err, ledger.ErrUnknown) || err == nil && t.User != user {
		return ledger.Token{}, fmt.Errorf("find a mytoken: %w", ErrUnknown)
	}
	return t, err
}

// subject is a mytoken as subscriptions see it.
type subject struct {
	momID string
	path  []string // what it was made from
	tags  []string
}

// concerns returns since when a notification is about a mytoken.
func (r *subRecord) concerns(s subject) (since time.Time, ok bool) {
	if r.Wide || marked(r.Tags, s.tags) {
		return r.Created, true
	}
	for _, a := range r.Tokens {
		if a.MOMID == s.momID || a.Children && slices.Contains(s.path, a.MOMID) {
			return a.Since, true
		}
	}
	return time.Time{}, false
}

// marked reports whether a mytoken has one of the tags that are asked for.
func marked(asked, has []string) bool {
	return slices.ContainsFunc(asked, func(tag string) bool { return slices.Contains(has, tag) })
}

// marks returns what tells the tags of the mytokens of a person; it is asked only where somebody subscribed by tag.
func (n *Notices) marks(ctx context.Context, user string, needed bool) (func(ledger.Token) []string, error) {
	if n.o.Tags == nil || !needed {
		return func(ledger.Token) []string { return nil }, nil
	}
	tell, err := n.o.Tags(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	return tell, nil
}

func byTag(subs []subRecord) bool {
	return slices.ContainsFunc(subs, func(r subRecord) bool { return len(r.Tags) > 0 })
}
