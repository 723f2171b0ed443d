package ldapdir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// record says what was given to whom, for ever. There are two for each identity, both of class applicationProcess (RFC
// 4519), which every directory knows: one called as the local name, one called as the SHA-256 of the identity. That an
// entry can be added once only is what decides when two provisioners want one name, or make one identity's account. What
// they say stands in values of "description", WORD=VALUE.
type record struct {
	dn   string
	id   string // identity=
	name string // name=
	uid  string // uidNumber=, "none" until it was taken from the counter

	changed time.Time // by the directory's clock
}

const noNumber = "none"

func (d *Dir) nameDN(name string) string { return child("cn", name, d.opt.RecordBase) }

func (d *Dir) idDN(id string) string {
	sum := sha256.Sum256([]byte(id))
	return child("cn", hex.EncodeToString(sum[:]), d.opt.RecordBase)
}

func (r record) values() []string {
	return []string{"identity=" + r.id, "name=" + r.name, "uidNumber=" + r.uid}
}

// readRecord returns a record, nil when there is none.
func (d *Dir) readRecord(ctx context.Context, s *session, dn string) (*record, error) {
	e, err := d.read(ctx, s, dn, "description", "modifyTimestamp")
	if err != nil || e == nil {
		return nil, err
	}
	r := &record{dn: dn}
	// A directory that does not tell the time has only settled records.
	r.changed, _ = time.Parse("20060102150405Z0700", e.GetEqualFoldAttributeValue("modifyTimestamp"))
	for _, v := range e.GetEqualFoldAttributeValues("description") {
		word, value, _ := strings.Cut(v, "=")
		switch word {
		case "identity":
			r.id = value
		case "name":
			r.name = value
		case "uidNumber":
			r.uid = value
		}
	}
	if r.id == "" || r.name == "" {
		return nil, fmt.Errorf("%w: record %s says nothing", backend.ErrMismatch, dn)
	}
	return r, nil
}

func (d *Dir) nameRecord(ctx context.Context, s *session, name string) (*record, error) {
	return d.readRecord(ctx, s, d.nameDN(name))
}

// reserve makes both records of an identity, or finds them, and returns that of its name. The error is ErrTaken when the
// name was given to another identity, ErrUnavailable when somebody is making this one's account under another name.
func (d *Dir) reserve(ctx context.Context, s *session, id, name string) (*record, error) {
	byID, err := d.once(ctx, s, record{dn: d.idDN(id), id: id, name: name, uid: noNumber})
	if err != nil {
		return nil, err
	}
	if byID.id != id {
		return nil, fmt.Errorf("%w: record %s", backend.ErrMismatch, byID.dn)
	}
	if byID.name != name {
		return d.rename(ctx, s, byID, name)
	}
	byName, err := d.once(ctx, s, record{dn: d.nameDN(name), id: id, name: name, uid: noNumber})
	if err != nil || byName.id == id {
		return byName, err
	}
	// Somebody else has the name, so this identity has none yet: what it wished for must not bind it.
	err = fmt.Errorf("name %s: %w", name, backend.ErrTaken)
	return nil, errors.Join(err, d.remove(ctx, s, byID.dn))
}

// settled is how long a record binds an identity without account to its name against another wish: as long as the one
// who wrote it may still be at work.
const settled = 10 * time.Minute

// rename gives an identity without account another name than it had, and its number with it. The old name stays its own.
func (d *Dir) rename(ctx context.Context, s *session, byID *record, name string) (*record, error) {
	if d.opt.Now().Sub(byID.changed) < settled {
		return nil, fmt.Errorf("%w: the account is being made under the name %s", backend.ErrUnavailable, byID.name)
	}
	uid := noNumber
	old, err := d.nameRecord(ctx, s, byID.name)
	if err != nil {
		return nil, err
	}
	if old != nil && old.id == byID.id {
		uid = old.uid
	}
	byName, err := d.once(ctx, s, record{dn: d.nameDN(name), id: byID.id, name: name, uid: uid})
	if err != nil {
		return nil, err
	}
	if byName.id != byID.id {
		return nil, fmt.Errorf("name %s: %w", name, backend.ErrTaken)
	}
	err = d.modify(ctx, s, byID.dn, func(m *ldap.ModifyRequest) {
		m.Delete("description", []string{"name=" + byID.name})
		m.Add("description", []string{"name=" + name})
	})
	if code(err) == ldap.LDAPResultNoSuchAttribute {
		err = fmt.Errorf("%w: somebody else has just changed record %s", backend.ErrUnavailable, byID.dn)
	}
	return byName, err
}

// once adds a record and returns it, or the one that was there before.
func (d *Dir) once(ctx context.Context, s *session, r record) (*record, error) {
	if old, err := d.readRecord(ctx, s, r.dn); err != nil || old != nil {
		return old, err
	}
	attrs := []ldap.Attribute{attribute("objectClass", "top", "applicationProcess"), attribute("description", r.values()...)}
	err := d.add(ctx, s, r.dn, attrs)
	if code(err) == ldap.LDAPResultNoSuchObject {
		if err = d.container(ctx, s); err == nil {
			err = d.add(ctx, s, r.dn, attrs)
		}
	}
	switch {
	case err == nil:
		return &r, nil
	case code(err) != ldap.LDAPResultEntryAlreadyExists:
		return nil, err
	}
	old, err := d.readRecord(ctx, s, r.dn)
	if err == nil && old == nil {
		err = fmt.Errorf("%w: record %s comes and goes", backend.ErrUnavailable, r.dn)
	}
	return old, err
}

// container makes the entry below which the records are.
func (d *Dir) container(ctx context.Context, s *session) error {
	dn, err := ldap.ParseDN(d.opt.RecordBase)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	first := dn.RDNs[0].Attributes[0]
	if !strings.EqualFold(first.Type, "ou") {
		return fmt.Errorf("%w: container %s is not there", backend.ErrUnavailable, d.opt.RecordBase)
	}
	err = d.add(ctx, s, d.opt.RecordBase, []ldap.Attribute{
		attribute("objectClass", "top", "organizationalUnit"), attribute("ou", first.Value),
		attribute("description", "names and numbers that were given, for ever"),
	})
	if code(err) == ldap.LDAPResultEntryAlreadyExists {
		return nil
	}
	return err
}

// keepUID writes a number into the record of a name, once: the number that stands there afterwards is returned, which is
// another one when another provisioner was faster.
func (d *Dir) keepUID(ctx context.Context, s *session, r *record, uid uint32) (uint32, error) {
	text := strconv.FormatUint(uint64(uid), 10)
	err := d.modify(ctx, s, r.dn, func(m *ldap.ModifyRequest) {
		m.Delete("description", []string{"uidNumber=" + r.uid})
		m.Add("description", []string{"uidNumber=" + text})
	})
	if err == nil {
		r.uid = text
		return uid, nil
	}
	if code(err) != ldap.LDAPResultNoSuchAttribute {
		return 0, err
	}
	now, err := d.readRecord(ctx, s, r.dn)
	if err != nil {
		return 0, err
	}
	if now == nil {
		return 0, fmt.Errorf("%w: record %s is gone", backend.ErrMismatch, r.dn)
	}
	*r = *now
	return r.number()
}

// number is the number in a record, 0 when there is none yet.
func (r *record) number() (uint32, error) {
	if r.uid == noNumber {
		return 0, nil
	}
	n, err := strconv.ParseUint(r.uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: record %s has no number", backend.ErrMismatch, r.dn)
	}
	return uint32(n), nil
}

// givenTo returns the identity that once was given a number, "" for none.
func (d *Dir) givenTo(ctx context.Context, s *session, uid uint32) (string, error) {
	text := strconv.FormatUint(uint64(uid), 10)
	list, err := d.search(ctx, s, query{
		base: d.opt.RecordBase, filter: all("(objectClass=applicationProcess)", equals("description", "uidNumber="+text)),
		attrs: []string{"cn"}, limit: 10,
	})
	if code(err) == ldap.LDAPResultNoSuchObject {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range list {
		r, err := d.readRecord(ctx, s, e.DN)
		if err != nil {
			return "", err
		}
		if r != nil {
			return r.id, nil
		}
	}
	return "", nil
}
