package ldapdir

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// deployTime bounds a deployment, whatever the caller says: fifty at once queue at one counter.
const deployTime = 60 * time.Second

// Deploy makes the account, or brings the one that is there to what is wanted. In a directory that others write
// (ReadOnly, PreCreated), groups, keys and shell of the account stay as they are.
func (d *Dir) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	if err := d.check(w); err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w: %w", w.Name, backend.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, deployTime)
	defer cancel()
	var done backend.Done
	created := false // in a first try over a connection that was cut, too
	step := func(s *session) error {
		var err error
		done, err = d.deploy(ctx, s, w)
		created = created || done.Created
		return err
	}
	run := d.change
	if d.opt.Mode == ReadOnly {
		run = d.ask
	}
	if err := run(ctx, step); err != nil {
		return backend.Done{}, fmt.Errorf("deploy %q: %w", w.Name, err)
	}
	done.Created = created
	return done, nil
}

func (d *Dir) check(w backend.Wanted) error {
	_, _, err := names.Decode(w.ID)
	errs := []error{err, d.opt.Limits.CheckName(w.Name), names.Check(w.Primary)}
	for _, g := range w.Groups {
		errs = append(errs, d.opt.Limits.CheckName(g))
	}
	if w.UID != 0 {
		errs = append(errs, d.opt.Limits.CheckUID(w.UID))
	}
	return errors.Join(errs...)
}

func (d *Dir) deploy(ctx context.Context, s *session, w backend.Wanted) (backend.Done, error) {
	u, err := d.find(ctx, s, w.ID)
	if err != nil {
		return backend.Done{}, err
	}
	done := backend.Done{}
	if u == nil {
		if u, err = d.make(ctx, s, w); err != nil {
			return done, err
		}
		done.Created = u.fresh
	}
	if d.opt.Mode != FullAccess {
		err = d.fillGroups(ctx, s, u)
		done.Account = u.Account
		return done, err
	}
	if !u.fresh {
		if err := d.remember(ctx, s, u); err != nil {
			return done, err
		}
	}
	return d.bring(ctx, s, u, w, done)
}

// bring brings an account to what is wanted.
func (d *Dir) bring(ctx context.Context, s *session, u *user, w backend.Wanted, done backend.Done) (backend.Done, error) {
	err := d.setShell(ctx, s, u, w.Tier)
	if err != nil {
		return done, err
	}
	if done.Keys, err = d.setKeys(ctx, s, u, w.Keys); err != nil {
		return done, err
	}
	was, err := d.setPrimary(ctx, s, u, w)
	if err != nil {
		return done, err
	}
	done.Added, done.Removed, err = d.setGroups(ctx, s, u, w.Groups)
	if was != "" {
		done.Added, done.Removed = append(done.Added, u.Primary), append(done.Removed, was)
	}
	done.Account = u.Account
	return done, err
}

// make gives an identity an account that it has not.
func (d *Dir) make(ctx context.Context, s *session, w backend.Wanted) (*user, error) {
	switch d.opt.Mode {
	case FullAccess:
		return d.create(ctx, s, w)
	case PreCreated:
		return d.claim(ctx, s, w)
	case ReadOnly:
	}
	return nil, fmt.Errorf("account %s: %w", w.Name, backend.ErrReadOnly)
}

// create makes an entry: name, number and group are reserved in this order before it is added, so that a provisioner that
// is killed in between leaves behind what the next one goes on with.
func (d *Dir) create(ctx context.Context, s *session, w backend.Wanted) (*user, error) {
	if err := d.free(ctx, s, w.ID, w.Name, w.Primary); err != nil {
		return nil, err
	}
	rec, err := d.reserve(ctx, s, w.ID, w.Name)
	if err != nil {
		return nil, err
	}
	g, err := d.primary(ctx, s, w)
	if err != nil {
		return nil, err
	}
	for range maxCollisions {
		u, err := d.tryCreate(ctx, s, w, rec, g)
		if !errors.Is(err, errNumberTaken) {
			return u, err
		}
	}
	return nil, fmt.Errorf("account %s: %w: every number that the counter gives is in use", rec.name, backend.ErrRefused)
}

// maxCollisions bounds how often a number that others use is replaced by another.
const maxCollisions = 5

// errNumberTaken: the directory wants numbers to be unique, and somebody has that one.
var errNumberTaken = errors.New("number is in use")

func (d *Dir) tryCreate(ctx context.Context, s *session, w backend.Wanted, rec *record, g group) (*user, error) {
	uid, err := d.uidFor(ctx, s, w, rec)
	if err != nil {
		return nil, fmt.Errorf("number for %s: %w", rec.name, err)
	}
	e, err := d.newEntry(ctx, s, w, backend.Account{ID: w.ID, Name: rec.name, UID: uid, GID: g.gid, Primary: g.name})
	if err != nil {
		return nil, err
	}
	err = d.add(ctx, s, e.dn, e.attrs)
	switch code(err) {
	case ldap.LDAPResultEntryAlreadyExists:
		u, err := d.find(ctx, s, w.ID)
		if err == nil && u == nil {
			err = fmt.Errorf("account %s: %w", rec.name, backend.ErrTaken)
		}
		return u, err
	case ldap.LDAPResultConstraintViolation:
		if _, again := d.renumber(ctx, s, rec, uid); again != nil {
			return nil, again
		}
		return nil, errNumberTaken
	}
	if err != nil {
		return nil, err
	}
	u, err := d.find(ctx, s, w.ID)
	if err == nil && u == nil {
		return nil, fmt.Errorf("account %s: %w: it is not there after it was made", rec.name, backend.ErrUnavailable)
	}
	if err == nil {
		u.fresh, u.Primary = true, g.name
	}
	return u, err
}

// free reports, as ErrTaken, that a name is somebody's: an entry's, a group's that is not to be the account's own.
func (d *Dir) free(ctx context.Context, s *session, id, name, primary string) error {
	h, err := d.holder(ctx, s, name)
	if err != nil {
		return err
	}
	if h.Taken && h.ID != id {
		if g, err := d.group(ctx, s, name); err != nil || g == nil || name != primary || h.ID != "" {
			return errors.Join(err, fmt.Errorf("name %s: %w", name, backend.ErrTaken))
		}
		e, err := d.named(ctx, s, name)
		if err != nil {
			return err
		}
		if e != nil {
			return fmt.Errorf("name %s: %w", name, backend.ErrTaken)
		}
	}
	return nil
}

// uidFor returns the number of an identity: that of its record, else the one it had before, else a new one.
func (d *Dir) uidFor(ctx context.Context, s *session, w backend.Wanted, rec *record) (uint32, error) {
	uid, err := rec.number()
	if err != nil || uid != 0 {
		return uid, err
	}
	if w.UID != 0 {
		owner, err := d.givenTo(ctx, s, w.UID)
		if err != nil {
			return 0, err
		}
		if owner != "" && owner != w.ID {
			return 0, fmt.Errorf("uid %d: %w", w.UID, backend.ErrTaken)
		}
		used, err := d.exists(ctx, s, d.opt.UserBase, all("(objectClass=posixAccount)", equals("uidNumber", decimal(w.UID))))
		if err != nil {
			return 0, err
		}
		if used {
			return 0, fmt.Errorf("uid %d: %w", w.UID, backend.ErrTaken)
		}
		return d.keepUID(ctx, s, rec, w.UID)
	}
	return d.renumber(ctx, s, rec, 0)
}

// renumber gives a record a new number in place of old, unless somebody else did already.
func (d *Dir) renumber(ctx context.Context, s *session, rec *record, old uint32) (uint32, error) {
	if have, err := rec.number(); err != nil || have != old {
		return have, err
	}
	c, err := d.uidCounter(ctx, s)
	if err != nil {
		return 0, err
	}
	uid, err := d.next(ctx, s, c)
	if err != nil {
		return 0, err
	}
	return d.keepUID(ctx, s, rec, uid)
}

// newUser is an entry that is to be added.
type newUser struct {
	dn    string
	attrs []ldap.Attribute
}

func (d *Dir) newEntry(ctx context.Context, s *session, w backend.Wanted, a backend.Account) (newUser, error) {
	sch, err := d.readSchema(ctx, s)
	if err != nil {
		return newUser{}, err
	}
	classes := []string{"top", "inetOrgPerson", "posixAccount"}
	if d.method(sch) == ShadowExpire {
		classes = append(classes, "shadowAccount")
	}
	if d.opt.KeyAttribute != "" {
		classes = append(classes, d.opt.KeyClass)
	}
	p := w.Person
	given, family := clean(p.Given), clean(p.Family)
	full := first(clean(p.Full), strings.TrimSpace(given+" "+family), a.Name)
	attrs := []ldap.Attribute{
		attribute("objectClass", classes...), attribute(d.opt.NameAttribute, a.Name),
		attribute("cn", full), attribute("sn", first(family, full)),
		attribute("uidNumber", decimal(a.UID)), attribute("gidNumber", decimal(a.GID)),
		attribute("homeDirectory", path.Join(d.opt.HomeBase, a.Name)), attribute("loginShell", d.shell(w.Tier)),
		attribute(d.opt.IDAttribute, a.ID),
	}
	if given != "" {
		attrs = append(attrs, attribute("givenName", given))
	}
	if mail := mailAddress(p.Email); mail != "" {
		attrs = append(attrs, attribute("mail", mail))
	}
	return newUser{dn: child(d.opt.NameAttribute, a.Name, d.opt.UserBase), attrs: attrs}, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// maxText bounds a text about a person, in bytes.
const maxText = 128

// clean makes one printable line of a text about a person. Hosts show it in passwd, so that ":" and "," go as well.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == ':' || r == ',' || r == '\\' || r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:maxText], ""))
	}
	return s
}

// mailAddress is an address in ASCII, as the attribute takes it, or "".
func mailAddress(s string) string {
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(s) > 254 || !strings.Contains(s, "@") || strings.ContainsFunc(s, bad) {
		return ""
	}
	return s
}

// claim writes an identity into an entry that somebody made and that has none.
func (d *Dir) claim(ctx context.Context, s *session, w backend.Wanted) (*user, error) {
	e, err := d.named(ctx, s, w.Name)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, fmt.Errorf("account %s was not made before: %w", w.Name, backend.ErrReadOnly)
	}
	if _, err := d.user(e); err != nil {
		return nil, err
	}
	had := e.GetEqualFoldAttributeValues(d.opt.IDAttribute)
	back := len(had) == 1 && had[0] == tombstone+w.ID
	if len(had) > 0 && !back {
		return nil, fmt.Errorf("account %s: %w", w.Name, backend.ErrTaken)
	}
	err = d.modify(ctx, s, e.DN, func(m *ldap.ModifyRequest) {
		if back {
			m.Delete(d.opt.IDAttribute, had)
		}
		m.Add(d.opt.IDAttribute, []string{w.ID})
	})
	switch code(err) {
	case ldap.LDAPResultConstraintViolation, ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultNoSuchAttribute:
		return d.afterRace(ctx, s, w)
	}
	if err != nil {
		return nil, err
	}
	return d.afterClaim(ctx, s, w, e.DN)
}

func (d *Dir) afterRace(ctx context.Context, s *session, w backend.Wanted) (*user, error) {
	u, err := d.find(ctx, s, w.ID)
	if err == nil && u == nil {
		err = fmt.Errorf("account %s: %w", w.Name, backend.ErrTaken)
	}
	return u, err
}

// afterClaim looks whether the entry is this identity's alone: an attribute with several values takes those of two who
// race, and then neither has it.
func (d *Dir) afterClaim(ctx context.Context, s *session, w backend.Wanted, dn string) (*user, error) {
	u, err := d.find(ctx, s, w.ID)
	if err == nil && u != nil {
		u.fresh = true
		return u, nil
	}
	undo := d.modify(ctx, s, dn, func(m *ldap.ModifyRequest) { m.Delete(d.opt.IDAttribute, []string{w.ID}) })
	if err == nil {
		err = fmt.Errorf("account %s: %w", w.Name, backend.ErrTaken)
	}
	return nil, errors.Join(err, undo)
}
