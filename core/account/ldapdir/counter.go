package ldapdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// counter gives numbers, each once. The entry that keeps the next number is changed by taking away the old value and
// adding the new one in one request, which the directory does for one of those who race, and refuses for the others.
type counter struct {
	dn, attr string // uidNumber, gidNumber
	class    string // of the entry
	keep     string // attribute of the entry with the next number
	low      uint32
	check    func(uint32) error
	used     func(ctx context.Context, s *session, n uint32) (bool, error)
}

func (d *Dir) uidCounter(ctx context.Context, s *session) (counter, error) {
	c := counter{
		dn: child("cn", "uidNext", d.opt.UserBase), attr: "uidNumber", class: "uidNext",
		low: cmp.Or(d.opt.Limits.MinUID, 1000), check: d.opt.Limits.CheckUID,
		used: func(ctx context.Context, s *session, n uint32) (bool, error) {
			taken, err := d.exists(ctx, s, d.opt.UserBase, all("(objectClass=posixAccount)", equals("uidNumber", decimal(n))))
			if err != nil || taken {
				return taken, err
			}
			id, err := d.givenTo(ctx, s, n)
			return id != "", err
		},
	}
	return d.classed(ctx, s, c)
}

func (d *Dir) gidCounter(ctx context.Context, s *session) (counter, error) {
	c := counter{
		dn: child("cn", "gidNext", d.opt.GroupBase), attr: "gidNumber", class: "gidNext",
		low: cmp.Or(d.opt.Limits.MinGID, 1000), check: d.opt.Limits.CheckGID,
		used: func(ctx context.Context, s *session, n uint32) (bool, error) {
			for _, fixed := range d.opt.FixedGroups {
				if fixed == n {
					return true, nil
				}
			}
			return d.exists(ctx, s, d.opt.GroupBase, all("(objectClass=posixGroup)", equals("gidNumber", decimal(n))))
		},
	}
	return d.classed(ctx, s, c)
}

// classed chooses the class of the counter's entry: the adapter's own where the schema has it, else one that every
// directory knows.
func (d *Dir) classed(ctx context.Context, s *session, c counter) (counter, error) {
	sch, err := d.readSchema(ctx, s)
	if err != nil {
		return c, err
	}
	c.low, c.keep = max(c.low, names.HardFloor), c.attr
	if !sch.class(c.class) {
		c.class, c.keep = "applicationProcess", "description"
	}
	return c, nil
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (d *Dir) exists(ctx context.Context, s *session, base, filter string) (bool, error) {
	list, err := d.search(ctx, s, query{base: base, filter: filter, attrs: []string{"1.1"}, limit: 20})
	return len(list) > 0, err
}

const (
	maxSkip  = 500                   // numbers that are in use, passed over in one go
	maxPause = 40 * time.Millisecond // between tries of those who race
)

// next takes a number. It tries until ctx ends: somebody else's success is behind each failure.
func (d *Dir) next(ctx context.Context, s *session, c counter) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		n, err := d.tryNext(ctx, s, c)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, errRaced) {
			return 0, fmt.Errorf("take a number from %s: %w", c.dn, err)
		}
		select {
		case <-time.After(rand.N(maxPause)): //nolint:gosec // only keeps those who race apart
		case <-ctx.Done():
			return 0, fmt.Errorf("take a number from %s: %w: %w", c.dn, backend.ErrUnavailable, ctx.Err())
		}
	}
}

// errRaced: another provisioner changed the counter between reading and changing it.
var errRaced = errors.New("counter was changed by somebody else")

func (d *Dir) tryNext(ctx context.Context, s *session, c counter) (uint32, error) {
	old, err := d.counted(ctx, s, c)
	if err != nil {
		return 0, err
	}
	n := max(old, c.low)
	for range maxSkip {
		if err := c.check(n); err != nil {
			return 0, fmt.Errorf("%w: %w: %w", backend.ErrRefused, ErrFull, err)
		}
		used, err := c.used(ctx, s, n)
		if err != nil {
			return 0, err
		}
		if used {
			n++
			continue
		}
		return n, d.advance(ctx, s, c, old, n+1)
	}
	// A long row in use: go on behind it next time, also when this try is all there is.
	if err := d.advance(ctx, s, c, old, n); err != nil {
		return 0, err
	}
	return 0, errRaced
}

// advance changes the counter from old to next, or to what follows: where the directory wants numbers to be unique, the
// counter cannot say one that an account has.
func (d *Dir) advance(ctx context.Context, s *session, c counter, old, next uint32) error {
	var err error
	for range maxSkip {
		err = d.swap(ctx, s, c, old, next)
		if code(err) != ldap.LDAPResultConstraintViolation {
			return err
		}
		next++
	}
	return err
}

// swap changes the counter from old to next, if it still is old.
func (d *Dir) swap(ctx context.Context, s *session, c counter, old, next uint32) error {
	err := d.modify(ctx, s, c.dn, func(m *ldap.ModifyRequest) {
		m.Delete(c.keep, []string{decimal(old)})
		m.Add(c.keep, []string{decimal(next)})
	})
	if code(err) == ldap.LDAPResultNoSuchAttribute {
		return fmt.Errorf("%w: %w", errRaced, err)
	}
	return err
}

// counted returns what the counter says, after making it when it is not there.
func (d *Dir) counted(ctx context.Context, s *session, c counter) (uint32, error) {
	for range 2 {
		e, err := d.read(ctx, s, c.dn, c.keep)
		if err != nil {
			return 0, err
		}
		if e != nil {
			n, bad := number(e, c.keep)
			if bad {
				return 0, fmt.Errorf("%w: counter %s has no number in %s", backend.ErrRefused, c.dn, c.keep)
			}
			return n, nil
		}
		cn := c.class
		if c.keep == "description" {
			cn = c.attr[:3] + "Next"
		}
		err = d.add(ctx, s, c.dn, []ldap.Attribute{
			attribute("objectClass", "top", c.class), attribute("cn", cn), attribute(c.keep, decimal(c.low)),
		})
		if err != nil && code(err) != ldap.LDAPResultEntryAlreadyExists {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: counter %s comes and goes", backend.ErrUnavailable, c.dn)
}
