//go:build linux

package unixdir

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// expired is the day written into shadow for a suspended account: the second of 1970. It does not depend on what the
// clock of the host says, and day 0 means "never" to some programs.
const expired = "1"

// user is the entry of passwd of an account, when name and identity are those of one account.
func (s *System) user(r backend.Ref) (sysuser.User, error) {
	u, err := s.userOf(r.ID)
	if err != nil {
		return sysuser.User{}, err
	}
	if u.Name != r.Name {
		return sysuser.User{}, fmt.Errorf("%w: it is %s", backend.ErrMismatch, u.Name)
	}
	return u, nil
}

// SetTier implements backend.System.
func (s *System) SetTier(ctx context.Context, r backend.Ref, t backend.Tier) error {
	u, err := s.user(r)
	if err != nil {
		return err
	}
	shell := s.shell(t)
	if u.Shell == shell {
		return nil
	}
	if err := s.tools.run(ctx, "usermod", "--shell", shell, "--", u.Name); err != nil {
		return fmt.Errorf("set shell of %s: %w", u.Name, err)
	}
	return nil
}

// Suspend implements backend.System. The account expires, which sshd and PAM's account phase honour for keys and
// passwords alike.
func (s *System) Suspend(ctx context.Context, r backend.Ref, kill bool) error {
	u, err := s.user(r)
	if err != nil {
		return err
	}
	if err := s.expire(ctx, u, true); err != nil {
		return err
	}
	if !kill {
		return nil
	}
	if err := s.endSessions(ctx, u); err != nil {
		return fmt.Errorf("end sessions of %s: %w", u.Name, err)
	}
	return nil
}

// Resume implements backend.System.
func (s *System) Resume(ctx context.Context, r backend.Ref) error {
	u, err := s.user(r)
	if err != nil {
		return err
	}
	return s.expire(ctx, u, false)
}

func (s *System) expire(ctx context.Context, u sysuser.User, suspend bool) error {
	e, err := s.shadowOf(u.Name)
	if err != nil {
		return err
	}
	day := "-1"
	if suspend {
		day = expired
	}
	if e.there && e.expired(s.Now()) == suspend {
		return nil
	}
	if err := s.tools.run(ctx, "chage", "--expiredate", day, "--", u.Name); err != nil {
		return fmt.Errorf("set expiry of %s: %w", u.Name, err)
	}
	return nil
}

// Undeploy implements backend.System.
func (s *System) Undeploy(ctx context.Context, r backend.Ref) error {
	u, err := s.user(r)
	if errors.Is(err, backend.ErrNoAccount) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.Suspend(ctx, r, true); err != nil {
		return err
	}
	s.putKeys(ctx, u, nil)
	err = s.tools.run(ctx, "userdel", "--", u.Name)
	if err != nil && !errors.Is(err, backend.ErrNoAccount) {
		return fmt.Errorf("take user %s away: %w", u.Name, err)
	}
	return nil
}
