package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/store"
)

// Erase removes all that is kept of a person here: address, notifications, calendars, codes, mails that wait. It may be
// called again, and for somebody who was never known.
func (n *Notices) Erase(ctx context.Context, user string) error {
	n.mu.Lock()
	delete(n.sums, user)
	n.mu.Unlock()
	defer n.subs.forget(user)
	var codes []string
	rows, err := n.rowsOf(ctx, user)
	if err != nil {
		return fmt.Errorf("erase notices of a person: %w", err)
	}
	for _, k := range rows { // the rows that lead to codes go after these
		if k[0] == string(kindOwned) {
			codes = append(codes, k[2])
		}
	}
	first := make([]store.Key, len(codes))
	for i, hash := range codes {
		first[i] = key(kindCode, hash)
	}
	if err := n.drop(ctx, append(first, rows...)); err != nil {
		return fmt.Errorf("erase notices of a person: %w", err)
	}
	return nil
}

// rowsOf are the keys of all that is kept of a person, but for the codes themselves.
func (n *Notices) rowsOf(ctx context.Context, user string) (rows []store.Key, err error) {
	kinds := []kind{
		kindSub, kindCalendar, kindToken, kindOut, kindBody, kindDigest, kindOwned, kindPerson,
	}
	err = n.o.Engine.View(ctx, func(tx store.Tx) error {
		rows = nil
		for _, k := range kinds {
			for row, err := range tx.Scan(table(), key(k, user)) {
				if err != nil {
					return err
				}
				rows = append(rows, row.Key)
			}
		}
		return nil
	})
	return rows, err
}

func (n *Notices) drop(ctx context.Context, rows []store.Key) error {
	for some := range slices.Chunk(rows, 2*batch) {
		err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
			for _, k := range some {
				if err := tx.Delete(table(), k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy removes people whom the ledger does not know any more, and mytokens that it does not keep any more from
// notifications, calendars and the schedule.
func (n *Notices) tidy(ctx context.Context, held store.Lease) error {
	users := make(map[string]struct{})
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		clear(users)
		for _, k := range []kind{kindPerson, kindSub, kindCalendar, kindToken} {
			for row, err := range tx.Scan(table(), key(k)) {
				if err != nil {
					return err
				}
				users[row.Key[1]] = struct{}{}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sweep notices: %w", err)
	}
	var errs []error
	for user := range users {
		if err := held.Renew(ctx, n.o.Lease); err != nil {
			return fmt.Errorf("sweep notices: %w", errors.Join(append(errs, err)...))
		}
		errs = append(errs, n.tidyUser(ctx, user))
	}
	return errors.Join(errs...)
}

func (n *Notices) tidyUser(ctx context.Context, user string) error {
	u, err := n.o.Tokens.User(ctx, user)
	if errors.Is(err, ledger.ErrUnknown) || err == nil && u.Erasing {
		return n.Erase(ctx, user)
	}
	if err != nil {
		return fmt.Errorf("sweep notices: %w", err)
	}
	all, err := n.o.Tokens.List(ctx, user)
	if err != nil {
		return fmt.Errorf("sweep notices: %w", err)
	}
	kept := make(map[string]struct{}, len(all))
	for _, t := range all {
		kept[t.MOMID] = struct{}{}
	}
	gone := func(a about) bool { _, ok := kept[a.MOMID]; return !ok }
	return errors.Join(n.tidySubs(ctx, user, gone), n.tidyCalendars(ctx, user, gone), n.tidyTokens(ctx, user, gone))
}

func (n *Notices) tidySubs(ctx context.Context, user string, gone func(about) bool) error {
	subs, err := n.subscriptions(ctx, user)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range subs {
		if !slices.ContainsFunc(s.Tokens, gone) {
			continue
		}
		errs = append(errs, n.o.Engine.Update(ctx, func(tx store.WTx) error {
			r, err := getForUpdate[subRecord](tx, kindSub, user, id(s.ID))
			if errors.Is(err, ErrUnknown) {
				return nil
			}
			if err != nil {
				return err
			}
			if r.Tokens = slices.DeleteFunc(r.Tokens, gone); len(r.Tokens) == 0 && !r.Wide && len(r.Tags) == 0 {
				return dropSub(tx, user, r) // all that it was about is gone
			}
			return saveSub(tx, user, r)
		}))
	}
	n.subs.forget(user)
	return errors.Join(errs...)
}

func (n *Notices) tidyCalendars(ctx context.Context, user string, gone func(about) bool) error {
	all, err := n.calendars(ctx, user)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all {
		for _, a := range c.Tokens {
			if !gone(a) {
				continue
			}
			if _, err := n.leave(ctx, user, c.ID, a.MOMID); !errors.Is(err, ErrUnknown) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (n *Notices) tidyTokens(ctx context.Context, user string, gone func(about) bool) error {
	var rows []store.Key
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		rows = nil
		return scan(tx, func(k []string, t *tokenRecord) error {
			if !gone(about{MOMID: k[1]}) {
				return nil
			}
			for _, code := range []string{t.Again, t.Mute} {
				if code != "" {
					rows = append(rows, key(kindCode, hashOf(code)), key(kindOwned, user, hashOf(code)))
				}
			}
			rows = append(rows, key(kindToken, k...))
			return nil
		}, kindToken, user)
	})
	if err != nil {
		return err
	}
	return n.drop(ctx, rows)
}
