package ldapdir

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// query is a search: all entries below base that match.
type query struct {
	base   string
	only   bool // base itself, not what is below it
	filter string
	attrs  []string
	limit  int // more entries are an error; 0: 2
}

func (d *Dir) request(q query) *ldap.SearchRequest {
	scope := ldap.ScopeWholeSubtree
	if q.only {
		scope = ldap.ScopeBaseObject
	}
	limit := q.limit
	if limit == 0 {
		limit = 2
	}
	seconds := max(1, int(d.opt.Timeout.Seconds()))
	return ldap.NewSearchRequest(q.base, scope, ldap.NeverDerefAliases, limit, seconds, false, q.filter, q.attrs, nil)
}

// search returns what matches. A part of the answer that lies elsewhere makes all of it no answer.
func (d *Dir) search(ctx context.Context, s *session, q query) ([]*ldap.Entry, error) {
	s.raw.read.Store(0)
	res, err := s.Search(d.request(q))
	if err != nil {
		return nil, fmt.Errorf("search below %s: %w", q.base, translate(ctx, err))
	}
	if len(res.Referrals) > 0 {
		return nil, fmt.Errorf("search below %s: %w: %w", q.base, backend.ErrUnavailable, ErrReferral)
	}
	return res.Entries, nil
}

// read returns one entry, nil when it is not there.
func (d *Dir) read(ctx context.Context, s *session, dn string, attrs ...string) (*ldap.Entry, error) {
	list, err := d.search(ctx, s, query{base: dn, only: true, filter: "(objectClass=*)", attrs: attrs})
	if code(err) == ldap.LDAPResultNoSuchObject {
		return nil, nil //nolint:nilnil // no entry is no error
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// add makes an entry.
func (d *Dir) add(ctx context.Context, s *session, dn string, attrs []ldap.Attribute) error {
	s.raw.read.Store(0)
	err := s.Add(&ldap.AddRequest{DN: dn, Attributes: attrs})
	if err != nil {
		return fmt.Errorf("add %s: %w", dn, translate(ctx, err))
	}
	return nil
}

// modify changes an entry, all of it or nothing.
func (d *Dir) modify(ctx context.Context, s *session, dn string, edit func(*ldap.ModifyRequest)) error {
	s.raw.read.Store(0)
	req := ldap.NewModifyRequest(dn, nil)
	edit(req)
	if err := s.Modify(req); err != nil {
		return fmt.Errorf("change %s: %w", dn, translate(ctx, err))
	}
	return nil
}

// remove deletes an entry; one that is not there is removed.
func (d *Dir) remove(ctx context.Context, s *session, dn string) error {
	s.raw.read.Store(0)
	err := translate(ctx, s.Del(ldap.NewDelRequest(dn, nil)))
	if err != nil && code(err) != ldap.LDAPResultNoSuchObject {
		return fmt.Errorf("remove %s: %w", dn, err)
	}
	return nil
}

// equals is the filter for one value.
func equals(attr, value string) string { return "(" + attr + "=" + ldap.EscapeFilter(value) + ")" }

func all(filters ...string) string { return "(&" + strings.Join(filters, "") + ")" }

// child is the name of an entry below base.
func child(attr, value, base string) string { return attr + "=" + ldap.EscapeDN(value) + "," + base }

func attribute(name string, values ...string) ldap.Attribute {
	return ldap.Attribute{Type: name, Vals: values}
}
