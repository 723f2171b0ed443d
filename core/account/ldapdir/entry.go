package ldapdir

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

type entry = *ldap.Entry

// user is an entry that is an account.
type user struct {
	backend.Account
	dn      string
	classes []string
	keys    []string // those that were put there by us
	fresh   bool     // made, or claimed, by this call
}

// tombstone precedes the identity in an entry of which we own the attribute alone: it was undeployed, and the entry is
// nobody else's. names.Encode never writes it.
const tombstone = "!"

// identity returns the identity in an entry. It reports false when there is none, or it is a tombstone's.
func (d *Dir) identity(e entry) (string, bool) {
	values := e.GetEqualFoldAttributeValues(d.opt.IDAttribute)
	for _, v := range values {
		text, dead := strings.CutPrefix(v, tombstone)
		if _, _, err := names.Decode(text); err == nil {
			return text, !dead && len(values) == 1
		}
	}
	return "", false
}

func (d *Dir) userQuery(filters ...string) query {
	attrs := []string{
		"objectClass", d.opt.NameAttribute, d.opt.IDAttribute, "uidNumber", "gidNumber", "homeDirectory", "loginShell",
		"shadowExpire", string(LockedTime),
	}
	for _, more := range []string{d.opt.KeyAttribute, d.opt.Suspension.Name} {
		if more != "" {
			attrs = append(attrs, more)
		}
	}
	filters = append([]string{"(objectClass=posixAccount)", d.opt.Filter}, filters...)
	return query{base: d.opt.UserBase, filter: all(filters...), attrs: attrs}
}

// find returns the account of an identity, nil when there is none.
//
// The directory may compare without regard to case (gecos does), and sub and iss differ by case: what it gives is
// compared again.
func (d *Dir) find(ctx context.Context, s *session, id string) (*user, error) {
	if _, _, err := names.Decode(id); err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	q := d.userQuery(equals(d.opt.IDAttribute, id))
	q.limit = 20
	list, err := d.search(ctx, s, q)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(e entry) bool {
		return !slices.Contains(e.GetEqualFoldAttributeValues(d.opt.IDAttribute), id)
	})
	switch len(list) {
	case 0:
		return nil, nil //nolint:nilnil // no account is no error
	case 1:
		return d.user(list[0])
	}
	return nil, fmt.Errorf("%w: %s and %s both have it", backend.ErrMismatch, list[0].DN, list[1].DN)
}

// named returns the account with a name, nil when there is none.
func (d *Dir) named(ctx context.Context, s *session, name string) (entry, error) {
	list, err := d.search(ctx, s, d.userQuery(equals(d.opt.NameAttribute, name)))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("%w: %s and %s are both called %s", ErrEntry, list[0].DN, list[1].DN, name)
	}
	return list[0], nil
}

// user reads an entry. What it refuses is no account of a federated identity, whatever the attribute says.
func (d *Dir) user(e entry) (*user, error) {
	id, _ := d.identity(e)
	name := e.GetEqualFoldAttributeValues(d.opt.NameAttribute)
	uid, badUID := number(e, "uidNumber")
	gid, badGID := number(e, "gidNumber")
	if len(name) != 1 || badUID || badGID || gid == 0 {
		return nil, fmt.Errorf("%w: %w: %s", backend.ErrRefused, ErrEntry, e.DN)
	}
	if len(e.GetEqualFoldAttributeValues(d.opt.IDAttribute)) > 1 {
		return nil, fmt.Errorf("%w: %s has more than one identity", backend.ErrMismatch, e.DN)
	}
	if err := d.opt.Limits.CheckName(name[0]); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", backend.ErrRefused, e.DN, err)
	}
	if err := d.opt.Limits.CheckUID(uid); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", backend.ErrRefused, e.DN, err)
	}
	u := &user{dn: e.DN, classes: e.GetEqualFoldAttributeValues("objectClass"), Account: backend.Account{
		ID: id, Name: name[0], UID: uid, GID: gid,
		Home: e.GetEqualFoldAttributeValue("homeDirectory"), Shell: e.GetEqualFoldAttributeValue("loginShell"),
	}}
	u.NoLogin = noLogin(u.Shell)
	u.Suspended = d.suspended(e)
	for _, k := range e.GetEqualFoldAttributeValues(d.opt.KeyAttribute) {
		if strings.HasSuffix(k, keyMark) {
			u.keys = append(u.keys, k)
		}
	}
	return u, nil
}

// number reads an attribute with exactly one number.
func number(e entry, attr string) (n uint32, bad bool) {
	values := e.GetEqualFoldAttributeValues(attr)
	if len(values) != 1 {
		return 0, true
	}
	v, err := strconv.ParseUint(values[0], 10, 32)
	return uint32(v), err != nil
}

func noLogin(shell string) bool {
	return strings.HasSuffix(shell, "/nologin") || strings.HasSuffix(shell, "/false")
}

// suspended reports whether any of the ways says so: an administrator may use another one than we do.
func (d *Dir) suspended(e entry) bool {
	if days, err := strconv.ParseInt(e.GetEqualFoldAttributeValue("shadowExpire"), 10, 64); err == nil && days >= 0 {
		today := d.opt.Now().Unix() / int64((24 * time.Hour).Seconds())
		if days <= today {
			return true
		}
	}
	if e.GetEqualFoldAttributeValue(string(LockedTime)) == lockedForEver {
		return true
	}
	return d.opt.Suspension.Name != "" && slices.ContainsFunc(
		e.GetEqualFoldAttributeValues(d.opt.Suspension.Name),
		func(v string) bool { return strings.EqualFold(v, d.opt.Suspension.Value) })
}

// group is a posixGroup of the directory.
type group struct {
	dn, name string
	gid      uint32
}

// group returns the group with a name, nil when the directory has none.
func (d *Dir) group(ctx context.Context, s *session, name string) (*group, error) {
	return d.oneGroup(ctx, s, equals("cn", name), name)
}

// groupName returns the name of the group with a number, "" when nobody knows it.
func (d *Dir) groupName(ctx context.Context, s *session, gid uint32) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(d.opt.FixedGroups)) {
		if d.opt.FixedGroups[name] == gid {
			return name, nil
		}
	}
	g, err := d.oneGroup(ctx, s, equals("gidNumber", strconv.FormatUint(uint64(gid), 10)), "")
	if err != nil || g == nil {
		return "", err
	}
	return g.name, nil
}

// oneGroup returns the first group that matches; name tells which of several values of cn is meant, "" the first.
func (d *Dir) oneGroup(ctx context.Context, s *session, filter, name string) (*group, error) {
	list, err := d.search(ctx, s, query{
		base: d.opt.GroupBase, filter: all("(objectClass=posixGroup)", filter), attrs: []string{"cn", "gidNumber"}, limit: 20,
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if name != "" && len(list) > 1 {
		return nil, fmt.Errorf("%w: %s and %s are both called %s", ErrEntry, list[0].DN, list[1].DN, name)
	}
	gid, bad := number(list[0], "gidNumber")
	if bad {
		return nil, fmt.Errorf("%w: %s", ErrEntry, list[0].DN)
	}
	if name == "" {
		name = list[0].GetEqualFoldAttributeValue("cn")
	}
	return &group{dn: list[0].DN, name: name, gid: gid}, nil
}

// maxMemberships bounds the groups of one user.
const maxMemberships = 2000

// memberships returns the groups that have a user as member.
func (d *Dir) memberships(ctx context.Context, s *session, name string) ([]group, error) {
	list, err := d.search(ctx, s, query{
		base: d.opt.GroupBase, filter: all("(objectClass=posixGroup)", equals("memberUid", name)),
		attrs: []string{"cn", "gidNumber"}, limit: maxMemberships,
	})
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, e := range list {
		gid, bad := number(e, "gidNumber")
		if cn := e.GetEqualFoldAttributeValue("cn"); !bad && cn != "" {
			groups = append(groups, group{dn: e.DN, name: cn, gid: gid})
		}
	}
	return groups, nil
}

// fillGroups reads the groups of an account.
func (d *Dir) fillGroups(ctx context.Context, s *session, u *user) error {
	list, err := d.memberships(ctx, s, u.Name)
	if err != nil {
		return err
	}
	if u.Primary, err = d.groupName(ctx, s, u.GID); err != nil {
		return err
	}
	u.Groups = nil
	for _, g := range list {
		u.addGroup(g.name)
	}
	slices.Sort(u.Groups)
	return nil
}

func (u *user) addGroup(name string) {
	if name != u.Primary && !slices.Contains(u.Groups, name) {
		u.Groups = append(u.Groups, name)
	}
}

const (
	pageSize = 100
	maxPages = 10_000
)

// groups are all groups of the directory, by number and by member.
type groups struct {
	name map[uint32]string
	of   map[string][]string
}

func (d *Dir) allGroups(ctx context.Context, s *session) (groups, error) {
	g := groups{name: map[uint32]string{}, of: map[string][]string{}}
	q := query{base: d.opt.GroupBase, filter: "(objectClass=posixGroup)", attrs: []string{"cn", "gidNumber", "memberUid"}}
	err := d.pages(ctx, s, q, func(e entry) {
		name := e.GetEqualFoldAttributeValue("cn")
		if gid, bad := number(e, "gidNumber"); !bad {
			g.name[gid] = name
		}
		for _, m := range e.GetEqualFoldAttributeValues("memberUid") {
			g.of[m] = append(g.of[m], name)
		}
	})
	for name, gid := range d.opt.FixedGroups {
		g.name[gid] = name
	}
	return g, err
}

// pages searches without limit, one page after the other (RFC 2696).
func (d *Dir) pages(ctx context.Context, s *session, q query, each func(entry)) error {
	paging := ldap.NewControlPaging(pageSize)
	for range maxPages {
		req := d.request(q)
		req.SizeLimit, req.Controls = 0, []ldap.Control{paging}
		s.raw.read.Store(0)
		res, err := s.Search(req)
		if err != nil {
			return fmt.Errorf("search below %s: %w", q.base, translate(ctx, err))
		}
		if len(res.Referrals) > 0 {
			return fmt.Errorf("search below %s: %w: %w", q.base, backend.ErrUnavailable, ErrReferral)
		}
		for _, e := range res.Entries {
			each(e)
		}
		next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
	return fmt.Errorf("search below %s: %w: more than %d pages", q.base, backend.ErrUnavailable, maxPages)
}
