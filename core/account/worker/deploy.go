package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// deploy makes an account or brings the one that is there to what is wanted.
func (s *server) deploy(ctx context.Context, w backend.Wanted, e *Event) (backend.Done, error) {
	e.ID, e.Name = safeID(w.ID), safeName(w.Name)
	if err := s.checkWanted(&w); err != nil {
		return backend.Done{}, err
	}
	if _, ok := s.changes.Take(w.ID); !ok {
		return backend.Done{}, refused("too many changes of one account")
	}
	unlock, err := s.busy.lock(ctx, w.ID)
	if err != nil {
		return backend.Done{}, fmt.Errorf("%w: the account is being changed", backend.ErrUnavailable)
	}
	defer unlock()
	there, have, err := s.known(ctx, w.ID)
	exists := err == nil
	if err != nil && !errors.Is(err, backend.ErrNoAccount) {
		return backend.Done{}, err
	}
	if err := s.prepare(ctx, &w, have, there); err != nil {
		return backend.Done{}, err
	}
	done, err := s.System.Deploy(ctx, w)
	if err != nil {
		return backend.Done{}, err
	}
	if done.Account.ID != w.ID || done.Account.Name != w.Name || w.UID != 0 && done.Account.UID != w.UID {
		return backend.Done{}, fmt.Errorf("%w: the account system has made another account", backend.ErrMismatch)
	}
	e.Name, e.UID, e.Created, e.Added, e.Removed = w.Name, done.Account.UID, done.Created, done.Added, done.Removed
	return s.complete(ctx, done, !exists || have.Stage != made)
}

// prepare checks what depends on what there is, and reserves name and number of an account that is to be made. there is
// the account, or the zero value.
func (s *server) prepare(ctx context.Context, w *backend.Wanted, have entry, there backend.Account) error {
	// Where numbers are counted here, nobody else gives one: it could be that of a user who is gone, and whose files are
	// not.
	if w.UID != 0 && w.UID != have.UID && (s.Numbers || have.UID != 0) {
		return fmt.Errorf("%w: that identity never had uid %d here", backend.ErrMismatch, w.UID)
	}
	if s.Numbers {
		w.GID = have.GID
	}
	fresh, err := s.checkGroups(ctx, *w, there)
	if err != nil {
		return err
	}
	if there.Name != "" {
		w.Name, w.UID = have.Name, have.UID
	} else if err := s.reserve(ctx, w); err != nil {
		return err
	}
	for _, g := range fresh {
		if err := s.reserveGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) reserve(ctx context.Context, w *backend.Wanted) error {
	if err := s.checkLocal(ctx, *w); err != nil {
		return err
	}
	if _, ok := s.creates.Take(""); !ok {
		return refused("too many new accounts")
	}
	e, err := s.ledger.reserve(ctx, w.ID, w.Name)
	if err != nil {
		return err
	}
	if e.UID != 0 {
		w.UID = e.UID
	}
	if w.UID != 0 || !s.Numbers {
		return nil
	}
	w.UID, err = s.number(ctx, w.ID)
	return err
}

func (s *server) reserveGroup(ctx context.Context, name string) error {
	if _, known, err := s.ledger.group(ctx, name); err != nil {
		return err
	} else if !known {
		if _, ok := s.groups.Take(""); !ok {
			return refused("too many new groups")
		}
	}
	return s.ledger.putGroup(ctx, name, groupEntry{})
}

// complete runs what is due after an account was made, and notes it. Until then the ledger says that the account is
// being made, so that the next deployment does it.
func (s *server) complete(ctx context.Context, done backend.Done, due bool) (backend.Done, error) {
	if err := s.noteGroups(ctx, append([]string{done.Account.Primary}, done.Account.Groups...)); err != nil {
		return backend.Done{}, err
	}
	if !due {
		return done, s.settle(ctx, done.Account)
	}
	if len(s.PostCreate) > 0 {
		args := append(append([]string{}, s.PostCreate[1:]...), done.Account.Name)
		c := command.Command{Path: s.PostCreate[0], Args: args, Timeout: s.PostCreateTimeout}
		if _, err := command.Run(ctx, c); err != nil {
			return backend.Done{}, fmt.Errorf("program for new accounts, %s: %w: %w", done.Account.Name,
				backend.ErrUnavailable, err)
		}
	}
	done.Created = true
	return done, s.settle(ctx, done.Account)
}

// noteGroups writes down the numbers of groups that are there now and whose making was noted.
func (s *server) noteGroups(ctx context.Context, all []string) error {
	for _, name := range all {
		known, found, err := s.ledger.group(ctx, name)
		if err != nil {
			return err
		}
		if name == "" || !found || known.GID != 0 {
			continue
		}
		g, err := s.Users.Group(ctx, name)
		if errors.Is(err, sysuser.ErrNone) {
			continue // a directory's, which this host does not see
		}
		if err != nil {
			return fmt.Errorf("group %s: %w: %w", name, backend.ErrUnavailable, err)
		}
		if err := s.ledger.putGroup(ctx, name, groupEntry{GID: g.GID}); err != nil {
			return err
		}
	}
	return nil
}

// number chooses a uid that nobody has, and that nobody whom the ledger knows ever had.
func (s *server) number(ctx context.Context, id string) (uint32, error) {
	s.counter.Lock()
	defer s.counter.Unlock()
	next, err := s.firstUID(ctx)
	if err != nil {
		return 0, err
	}
	low, high := s.Limits.UIDRange()
	if low > high {
		return 0, refused("range of uids is empty")
	}
	for tries := uint32(0); tries <= high-low; tries++ {
		uid := next + tries
		if uid > high || uid < low {
			uid = low + (uid-low)%(high-low+1)
		}
		free, err := s.freeUID(ctx, uid)
		if err != nil {
			return 0, err
		}
		if free {
			e, err := s.ledger.number(ctx, id, uid)
			return e.UID, err
		}
	}
	return 0, refused("no uid is left from %d to %d", low, high)
}

// firstUID is where to begin: behind the one given last, at first behind those that the host has: a number below may
// have been somebody's whose files are still about.
func (s *server) firstUID(ctx context.Context) (uint32, error) {
	low, high := s.Limits.UIDRange()
	next, err := s.ledger.nextUID(ctx)
	if err != nil || next != 0 {
		return max(next, low), err
	}
	users, err := s.Users.Users()
	if err != nil {
		return 0, fmt.Errorf("uids of this host: %w: %w", backend.ErrUnavailable, err)
	}
	next = low
	for _, u := range users {
		if u.UID >= next && u.UID < high {
			next = u.UID + 1
		}
	}
	return next, nil
}

func (s *server) freeUID(ctx context.Context, uid uint32) (bool, error) {
	if s.Limits.CheckUID(uid) != nil {
		return false, nil
	}
	used, err := s.ledger.usedUID(ctx, uid)
	if err != nil || used {
		return false, err
	}
	_, err = s.Users.ByUID(ctx, uid)
	switch {
	case errors.Is(err, sysuser.ErrNone):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("uid %d: %w: %w", uid, backend.ErrUnavailable, err)
	}
	return false, nil
}
