package ldapdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

const (
	// expired is the first of January 1970 and a day: 0 is read as "never" by some.
	expired = "1"
	// lockedForEver is what draft-behera-ldap-password-policy writes for a lock that only an administrator ends.
	lockedForEver = "000001010000Z"
	// keyMark ends the values that were put there by us.
	keyMark = " oidcbox"
)

// method is how this directory suspends.
func (d *Dir) method(sch *schema) Method {
	if d.opt.Suspension.Method != "" {
		return d.opt.Suspension.Method
	}
	if sch.class("shadowAccount") {
		return ShadowExpire
	}
	return NoMethod
}

// shell is the shell of a tier.
func (d *Dir) shell(t backend.Tier) string {
	if shell := d.opt.Shells[t]; shell != "" {
		return shell
	}
	if t == backend.Full {
		return "/bin/sh"
	}
	return nologin
}

func (d *Dir) setShell(ctx context.Context, s *session, u *user, t backend.Tier) error {
	shell := d.shell(cmp.Or(t, backend.NoShell))
	if u.Shell == shell {
		return nil
	}
	err := d.modify(ctx, s, u.dn, func(m *ldap.ModifyRequest) { m.Replace("loginShell", []string{shell}) })
	if err == nil {
		u.Shell, u.NoLogin = shell, noLogin(shell)
	}
	return err
}

// setKeys replaces the keys that were put there before. Those that are no keys are left out.
func (d *Dir) setKeys(ctx context.Context, s *session, u *user, keys []backend.Key) ([]backend.Key, error) {
	if keys == nil || d.opt.KeyAttribute == "" {
		return nil, nil
	}
	var lines []string
	var put []backend.Key
	for _, k := range keys {
		line, err := k.Line()
		if err != nil || slices.Contains(lines, line+keyMark) {
			continue
		}
		lines, put = append(lines, line+keyMark), append(put, k)
	}
	gone := slices.DeleteFunc(slices.Clone(u.keys), func(k string) bool { return slices.Contains(lines, k) })
	more := slices.DeleteFunc(lines, func(k string) bool { return slices.Contains(u.keys, k) })
	if len(gone) == 0 && len(more) == 0 {
		return put, nil
	}
	err := d.modify(ctx, s, u.dn, func(m *ldap.ModifyRequest) {
		if !hasClass(u.classes, d.opt.KeyClass) {
			m.Add("objectClass", []string{d.opt.KeyClass})
		}
		if len(gone) > 0 {
			m.Delete(d.opt.KeyAttribute, gone)
		}
		if len(more) > 0 {
			m.Add(d.opt.KeyAttribute, more)
		}
	})
	return put, err
}

func hasClass(classes []string, name string) bool {
	return slices.ContainsFunc(classes, func(c string) bool { return strings.EqualFold(c, name) })
}

// ours returns the account that a reference means.
func (d *Dir) ours(ctx context.Context, s *session, r backend.Ref) (*user, error) {
	u, err := d.find(ctx, s, r.ID)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, backend.ErrNoAccount
	case u.Name != r.Name:
		return nil, fmt.Errorf("it is called %s: %w", u.Name, backend.ErrMismatch)
	}
	return u, nil
}

// on runs fn with the account that a reference means.
func (d *Dir) on(ctx context.Context, what string, r backend.Ref, fn func(*session, *user) error) error {
	err := d.change(ctx, func(s *session) error {
		u, err := d.ours(ctx, s, r)
		if err != nil {
			return err
		}
		return fn(s, u)
	})
	if err != nil {
		return fmt.Errorf("%s %q: %w", what, r.Name, err)
	}
	return nil
}

// SetTier changes loginShell. The error is ErrReadOnly where the entries are somebody else's.
func (d *Dir) SetTier(ctx context.Context, r backend.Ref, t backend.Tier) error {
	if d.opt.Mode != FullAccess {
		return fmt.Errorf("set shell of %q: %w", r.Name, backend.ErrReadOnly)
	}
	return d.on(ctx, "set shell of", r, func(s *session, u *user) error { return d.setShell(ctx, s, u, t) })
}

// Suspend marks the entry and then, with kill, has sessions ended (Options.End). The error is ErrUnsupported where the
// directory has no way to say so or is not ours to write, and where nobody ends sessions; what can be done was done then.
func (d *Dir) Suspend(ctx context.Context, r backend.Ref, kill bool) error {
	err := d.mark(ctx, "suspend", r, true)
	if !kill || err != nil && !errors.Is(err, backend.ErrUnsupported) {
		return err
	}
	return errors.Join(err, d.end(ctx, r))
}

// end has what runs for an account ended.
func (d *Dir) end(ctx context.Context, r backend.Ref) error {
	if d.opt.End == nil {
		return fmt.Errorf("end sessions of %q, which run on other hosts: %w", r.Name, backend.ErrUnsupported)
	}
	var u *user
	err := d.ask(ctx, func(s *session) error {
		var err error
		u, err = d.ours(ctx, s, r)
		return err
	})
	if err == nil {
		err = d.opt.End(ctx, u.Account)
	}
	if err != nil {
		return fmt.Errorf("end sessions of %q: %w", r.Name, err)
	}
	return nil
}

// Resume takes the mark away. The error is as with Suspend.
func (d *Dir) Resume(ctx context.Context, r backend.Ref) error {
	return d.mark(ctx, "resume", r, false)
}

func (d *Dir) mark(ctx context.Context, what string, r backend.Ref, suspend bool) error {
	if d.opt.Mode == ReadOnly {
		return fmt.Errorf("%s %q in a directory that is only read: %w", what, r.Name, backend.ErrUnsupported)
	}
	return d.on(ctx, what, r, func(s *session, u *user) error {
		sch, err := d.readSchema(ctx, s)
		if err != nil {
			return err
		}
		method := d.method(sch)
		if method == NoMethod {
			return fmt.Errorf("%w: the directory has no attribute for it", backend.ErrUnsupported)
		}
		if u.Suspended == suspend && method != LockedTime {
			return nil
		}
		return d.modify(ctx, s, u.dn, d.markEdit(method, u, suspend))
	})
}

// markEdit is the change that sets a mark or takes it away. Taking away is done by replacing with nothing, which is no
// error when there is nothing.
func (d *Dir) markEdit(method Method, u *user, suspend bool) func(*ldap.ModifyRequest) {
	attr, value := string(ShadowExpire), expired
	switch method {
	case LockedTime:
		attr, value = string(LockedTime), lockedForEver
	case Attribute:
		attr, value = d.opt.Suspension.Name, d.opt.Suspension.Value
	case ShadowExpire, NoMethod:
	}
	return func(m *ldap.ModifyRequest) {
		if !suspend {
			m.Replace(attr, nil)
			return
		}
		if method == ShadowExpire && !hasClass(u.classes, "shadowAccount") {
			m.Add("objectClass", []string{"shadowAccount"})
		}
		m.Replace(attr, []string{value})
	}
}

// Undeploy removes the entry and its memberships; the records keep name and number from everybody else. Where the entry is
// somebody else's (PreCreated), it gets a tombstone in place of the identity.
func (d *Dir) Undeploy(ctx context.Context, r backend.Ref) error {
	if d.opt.Mode == ReadOnly {
		return fmt.Errorf("undeploy %q: %w", r.Name, backend.ErrReadOnly)
	}
	return d.on(ctx, "undeploy", r, func(s *session, u *user) error {
		if d.opt.Mode == PreCreated {
			return d.modify(ctx, s, u.dn, func(m *ldap.ModifyRequest) {
				m.Delete(d.opt.IDAttribute, []string{u.ID})
				m.Add(d.opt.IDAttribute, []string{tombstone + u.ID})
			})
		}
		if err := d.remember(ctx, s, u); err != nil {
			return err
		}
		if err := d.leaveGroups(ctx, s, u.Name); err != nil {
			return err
		}
		if d.opt.End != nil {
			if err := d.opt.End(ctx, u.Account); err != nil {
				return fmt.Errorf("end sessions: %w", err)
			}
		}
		return d.remove(ctx, s, u.dn)
	})
}

// remember makes sure that there are records of an account: one of another provisioner's making has none, and an
// administrator may delete its entry at any time.
func (d *Dir) remember(ctx context.Context, s *session, u *user) error {
	rec, err := d.reserve(ctx, s, u.ID, u.Name)
	if err != nil {
		return err
	}
	if rec.name != u.Name {
		return fmt.Errorf("record of it says %s: %w", rec.name, backend.ErrMismatch)
	}
	had, err := rec.number()
	if err == nil && had != u.UID {
		_, err = d.keepUID(ctx, s, rec, u.UID)
	}
	return err
}
