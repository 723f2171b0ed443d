//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// System is the accounts of this host. Use New.
type System struct {
	Options
	tools tools
	homes homes
}

var _ backend.System = (*System)(nil)

// New returns the account system of this host. It needs root as soon as something is to be changed. The error is
// ErrOptions.
func New(o Options) (*System, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.NoLogin == "" {
		o.NoLogin = firstProgram("/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/false", "/bin/false")
	}
	return &System{Options: o, tools: newTools(), homes: newHomes()}, nil
}

// firstProgram is the first of paths that can be run, else the last one.
func firstProgram(paths ...string) string {
	for _, p := range paths {
		if executable(p) {
			return p
		}
	}
	return paths[len(paths)-1]
}

func executable(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// Find implements backend.System.
func (s *System) Find(_ context.Context, id string) (backend.Account, error) {
	u, err := s.userOf(id)
	if err != nil {
		return backend.Account{}, err
	}
	return s.account(u)
}

// userOf returns the entry of passwd of an identity. Two of them, or one that no federated account may have, are
// backend.ErrMismatch: somebody else has been here.
func (s *System) userOf(id string) (sysuser.User, error) {
	if _, _, err := names.Decode(id); err != nil {
		return sysuser.User{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	users, err := s.Users.Users()
	if err != nil {
		return sysuser.User{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	users = slices.DeleteFunc(users, func(u sysuser.User) bool { return identityIn(u.Gecos) != id })
	switch {
	case len(users) == 0:
		return sysuser.User{}, backend.ErrNoAccount
	case len(users) > 1:
		return sysuser.User{}, fmt.Errorf("%w: %d entries of passwd have the identity of %s", backend.ErrMismatch,
			len(users), users[0].Name)
	}
	return users[0], s.checkUser(users[0])
}

func (s *System) checkUser(u sysuser.User) error {
	if err := s.Limits.CheckName(u.Name); err != nil {
		return fmt.Errorf("%w: entry of passwd with an identity: %w", backend.ErrMismatch, err)
	}
	if err := s.Limits.CheckUID(u.UID); err != nil {
		return fmt.Errorf("%w: entry of passwd with an identity: %w", backend.ErrMismatch, err)
	}
	return nil
}

// identityIn is what stands before the first comma of a GECOS field: what comes after it is room and telephone numbers,
// which users may change (chfn(1)).
func identityIn(gecos string) string {
	id, _, _ := strings.Cut(gecos, ",")
	return id
}

// isIdentity reports whether a text is an identity, as names.Encode writes it.
func isIdentity(s string) bool {
	_, _, err := names.Decode(s)
	return err == nil
}

// account reads what else is known of a user.
func (s *System) account(u sysuser.User) (backend.Account, error) {
	a := backend.Account{
		ID: identityIn(u.Gecos), Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Shell: u.Shell,
		NoLogin: u.Shell == s.NoLogin || filepath.Base(u.Shell) == "nologin" || filepath.Base(u.Shell) == "false",
	}
	groups, err := s.Users.Groups()
	if err != nil {
		return backend.Account{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	for _, g := range groups {
		if g.GID == u.GID && a.Primary == "" {
			a.Primary = g.Name
		}
		if slices.Contains(g.Members, u.Name) {
			a.Groups = append(a.Groups, g.Name)
		}
	}
	slices.Sort(a.Groups)
	entry, err := s.shadowOf(u.Name)
	if err != nil {
		return backend.Account{}, err
	}
	a.Suspended = entry.expired(s.Now())
	return a, nil
}

// Holder implements backend.System. A home without a user belongs to somebody who was here before.
func (s *System) Holder(ctx context.Context, name string) (backend.Holder, error) {
	if s.Limits.CheckName(name) != nil {
		return backend.Holder{Taken: true}, nil
	}
	u, err := s.Users.User(ctx, name)
	switch {
	case err == nil && isIdentity(identityIn(u.Gecos)) && s.checkUser(u) == nil:
		return backend.Holder{Taken: true, ID: identityIn(u.Gecos)}, nil
	case err == nil:
		return backend.Holder{Taken: true}, nil
	case !errors.Is(err, sysuser.ErrNone):
		return backend.Holder{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	_, err = s.Users.Group(ctx, name)
	switch {
	case err == nil:
		return backend.Holder{Taken: true}, nil
	case !errors.Is(err, sysuser.ErrNone):
		return backend.Holder{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	there, err := s.homeThere(ctx, s.home(name))
	return backend.Holder{Taken: there}, err
}

func (s *System) home(name string) string { return filepath.Join(s.HomeBase, name) }

// All implements backend.System.
func (s *System) All(_ context.Context, each func(backend.Account) error) error {
	users, err := s.Users.Users()
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	seen := map[string]int{}
	for _, u := range users {
		seen[identityIn(u.Gecos)]++
	}
	for _, u := range users {
		id := identityIn(u.Gecos)
		if !isIdentity(id) || s.checkUser(u) != nil {
			continue
		}
		if seen[id] > 1 {
			s.Log.Warn("several entries of passwd have one identity", "name", u.Name)
			continue
		}
		a, err := s.account(u)
		if err != nil {
			return err
		}
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

// shell is the shell of a tier. One that is not there lets nobody in rather than everybody out of the restriction.
func (s *System) shell(t backend.Tier) string {
	if p := s.Shells[t]; p != "" && executable(p) {
		return p
	}
	return s.NoLogin
}
