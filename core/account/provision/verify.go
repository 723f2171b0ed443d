package provision

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// maxLooks bounds the accounts that Verify remembers.
const maxLooks = 16 << 10

// looks is what the account system said lately. An entry counts for one revision of the ledger's record only, so that
// what any process changes is seen at once.
type looks struct {
	mu   *sync.Mutex
	seen map[string]look
}

type look struct {
	rev     uint64
	until   time.Time
	account backend.Account
}

func newLooks() looks { return looks{mu: new(sync.Mutex), seen: map[string]look{}} }

func (l looks) find(id string, rev uint64, now time.Time) (backend.Account, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, ok := l.seen[id]
	if !ok || entry.rev != rev || !now.Before(entry.until) {
		return backend.Account{}, false
	}
	return entry.account, true
}

func (l looks) keep(id string, entry look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= maxLooks {
		clear(l.seen)
	}
	l.seen[id] = entry
}

// Verify says whether the identity id may log in as username. The ledger is read each time; what the account system
// says may be [Options.Fresh] old. With an error the verdict is a no.
func (d *Desk) Verify(ctx context.Context, id, username string) (Verdict, error) {
	var a account
	err := d.o.Store.View(ctx, func(tx store.Tx) (err error) {
		a, _, err = get[account](tx, tableAccounts, key(id))
		return err
	})
	if err != nil {
		err = fmt.Errorf("read the ledger: %w", err)
		return Verdict{State: state.Unknown, Reason: "the ledger cannot be read"}, err
	}
	if !a.known() || a.ID != id {
		return Verdict{State: state.NotDeployed, Reason: "the identity has no account"}, nil
	}
	return d.judge(ctx, a, username), nil
}

// ByName is Verify for a local user whose identity nobody presented: the account phase of a login.
func (d *Desk) ByName(ctx context.Context, username string) (Verdict, error) {
	var a account
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		if names.Check(username) != nil {
			return nil
		}
		row, found, err := get[owned](tx, tableNames, store.Key{username})
		if err != nil || !found {
			return err
		}
		a, _, err = get[account](tx, tableAccounts, key(row.ID))
		return err
	})
	if err != nil {
		err = fmt.Errorf("read the ledger: %w", err)
		return Verdict{State: state.Unknown, Reason: "the ledger cannot be read"}, err
	}
	if !a.known() {
		return Verdict{State: state.NotDeployed, Reason: "no identity has this local user"}, nil
	}
	return d.judge(ctx, a, username), nil
}

// judge is the decision about one account.
func (d *Desk) judge(ctx context.Context, a account, username string) Verdict {
	v := Verdict{ID: a.ID, Name: a.Name, UID: a.UID}
	facts, reason := a.facts(), ""
	if facts.Exists && !facts.Suspended {
		facts, reason = d.confirm(ctx, a, facts)
	}
	v.State = facts.State()
	there := a.Phase == made && a.Name == username && username != ""
	switch {
	case reason != "":
		v.Reason = reason
	case a.Phase == made && !there:
		v.Reason = "the local user of the identity is another one"
	case !there:
		v.Reason = "the identity has no account: " + string(v.State)
	case !v.State.MayLogIn():
		v.Reason = "the account is " + string(v.State)
	default:
		v.Allowed, v.Verified = true, true
	}
	if there && v.State == state.Suspended && d.o.Rules.CompatVerified {
		v.Verified = true
	}
	return v
}

// confirm adds the account system's word to the facts. reason says why nobody may log in by them, "" for nothing.
func (d *Desk) confirm(ctx context.Context, a account, facts state.Facts) (_ state.Facts, reason string) {
	now := d.o.Now()
	found, ok := d.looks.find(a.ID, a.Rev, now)
	if !ok {
		var err error
		if found, err = d.o.System.Find(ctx, a.ID); err != nil {
			facts.Exists = !errors.Is(err, backend.ErrNoAccount)
			facts.Unread = facts.Exists
			return facts, "the account system says: " + err.Error()
		}
		d.looks.keep(a.ID, look{rev: a.Rev, until: now.Add(d.o.Fresh), account: found})
	}
	if err := d.agree(a, found); err != nil {
		facts.Unread = true
		return facts, err.Error()
	}
	facts.Suspended = facts.Suspended || found.Suspended
	facts.NoLogin = facts.NoLogin || found.NoLogin
	return facts, ""
}

// agree compares what the ledger and the account system have of one account. The error is ErrMismatch.
func (d *Desk) agree(a account, found backend.Account) error {
	switch {
	case found.ID != a.ID:
		return fmt.Errorf("%w: it carries another identity", ErrMismatch)
	case found.Name != a.Name:
		return fmt.Errorf("%w: local user %s in the ledger, another one in the account system", ErrMismatch, a.Name)
	case a.UID != 0 && found.UID != a.UID:
		return fmt.Errorf("%w: uid %d in the ledger, %d in the account system", ErrMismatch, a.UID, found.UID)
	}
	return d.sound(found)
}

// sound refuses accounts that no federated identity may have, whoever says that one does. The error is ErrMismatch.
func (d *Desk) sound(found backend.Account) error {
	limits := d.o.Rules.Limits
	if err := limits.CheckName(found.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if d.o.Rules.NoNumbers {
		return nil
	}
	if err := limits.CheckUID(found.UID); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if found.GID == 0 {
		return fmt.Errorf("%w: its group is that of root", ErrMismatch)
	}
	return nil
}
