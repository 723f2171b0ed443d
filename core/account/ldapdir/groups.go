package ldapdir

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// primary returns the primary group of an account that is to be made. A group of the hosts is given as it is; in the
// directory it has to have a number within the limits, and is made when it is not there.
func (d *Dir) primary(ctx context.Context, s *session, w backend.Wanted) (group, error) {
	if gid, ok := d.opt.FixedGroups[w.Primary]; ok {
		return group{name: w.Primary, gid: gid}, nil
	}
	if err := d.opt.Limits.CheckName(w.Primary); err != nil {
		return group{}, fmt.Errorf("primary group %s: %w: %w", w.Primary, backend.ErrRefused, err)
	}
	g, err := d.ensureGroup(ctx, s, w.Primary)
	if err != nil {
		return group{}, fmt.Errorf("primary group %s: %w", w.Primary, err)
	}
	return *g, nil
}

// ensureGroup returns the group with a name, made when the directory has none. The error is ErrRefused when its number is
// outside of the limits.
func (d *Dir) ensureGroup(ctx context.Context, s *session, name string) (*group, error) {
	g, err := d.group(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if g == nil {
		if g, err = d.makeGroup(ctx, s, name); err != nil {
			return nil, err
		}
	}
	if err := d.opt.Limits.CheckGID(g.gid); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", backend.ErrRefused, g.dn, err)
	}
	return g, nil
}

func (d *Dir) makeGroup(ctx context.Context, s *session, name string) (*group, error) {
	c, err := d.gidCounter(ctx, s)
	if err != nil {
		return nil, err
	}
	for range maxCollisions {
		gid, err := d.next(ctx, s, c)
		if err != nil {
			return nil, err
		}
		g := &group{dn: child("cn", name, d.opt.GroupBase), name: name, gid: gid}
		err = d.add(ctx, s, g.dn, []ldap.Attribute{
			attribute("objectClass", "top", "posixGroup"), attribute("cn", name), attribute("gidNumber", decimal(gid)),
		})
		switch code(err) {
		case ldap.LDAPResultConstraintViolation:
			continue
		case ldap.LDAPResultEntryAlreadyExists:
			return d.racedGroup(ctx, s, name)
		}
		return g, err
	}
	return nil, fmt.Errorf("group %s: %w: every number that the counter gives is in use", name, backend.ErrRefused)
}

// racedGroup returns a group that somebody else has just made.
func (d *Dir) racedGroup(ctx context.Context, s *session, name string) (*group, error) {
	g, err := d.group(ctx, s, name)
	if err == nil && g == nil {
		err = fmt.Errorf("group %s: %w", name, backend.ErrTaken)
	}
	return g, err
}

// setPrimary gives an account another primary group when it may not be in the one it has any more: a group that claims
// gave, and give no longer. It returns the name of the group that the account was in, "" when nothing was changed.
func (d *Dir) setPrimary(ctx context.Context, s *session, u *user, w backend.Wanted) (string, error) {
	if u.Primary == "" {
		name, err := d.groupName(ctx, s, u.GID)
		if err != nil {
			return "", err
		}
		u.Primary = name
	}
	if u.Primary == "" || u.Primary == w.Primary || slices.Contains(w.Groups, u.Primary) {
		return "", nil
	}
	g, err := d.primary(ctx, s, w)
	if err != nil {
		return "", err
	}
	err = d.modify(ctx, s, u.dn, func(m *ldap.ModifyRequest) { m.Replace("gidNumber", []string{decimal(g.gid)}) })
	if err != nil {
		return "", err
	}
	was := u.Primary
	u.Primary, u.GID = g.name, g.gid
	return was, nil
}

// setGroups makes the account a member of exactly the wanted groups. Memberships in groups whose name or number no claim
// can lead to were given by somebody else, and stay.
func (d *Dir) setGroups(ctx context.Context, s *session, u *user, wanted []string) (added, removed []string, err error) {
	have, err := d.memberships(ctx, s, u.Name)
	if err != nil {
		return nil, nil, err
	}
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	for _, name := range wanted {
		if name == u.Primary || slices.ContainsFunc(have, func(g group) bool { return g.name == name }) {
			continue
		}
		g, err := d.ensureGroup(ctx, s, name)
		if err != nil {
			return added, nil, fmt.Errorf("group %s: %w", name, err)
		}
		if err := d.member(ctx, s, g.dn, u.Name, true); err != nil {
			return added, nil, err
		}
		added = append(added, name)
	}
	for _, g := range have {
		theirs := d.opt.Limits.CheckName(g.name) != nil || d.opt.Limits.CheckGID(g.gid) != nil
		if slices.Contains(wanted, g.name) || theirs {
			continue
		}
		if err := d.member(ctx, s, g.dn, u.Name, false); err != nil {
			return added, removed, err
		}
		removed = append(removed, g.name)
	}
	slices.Sort(removed)
	return added, removed, d.fillGroups(ctx, s, u)
}

// member adds a member to a group, or takes it out. Somebody else may have done so a moment ago.
func (d *Dir) member(ctx context.Context, s *session, dn, name string, in bool) error {
	err := d.modify(ctx, s, dn, func(m *ldap.ModifyRequest) {
		if in {
			m.Add("memberUid", []string{name})
			return
		}
		m.Delete("memberUid", []string{name})
	})
	switch code(err) {
	case ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultNoSuchAttribute:
		return nil
	}
	return err
}

// leaveGroups ends all memberships, those outside of the limits as well: the name is nobody's from now on.
func (d *Dir) leaveGroups(ctx context.Context, s *session, name string) error {
	have, err := d.memberships(ctx, s, name)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range have {
		errs = append(errs, d.member(ctx, s, g.dn, name, false))
	}
	return errors.Join(errs...)
}
