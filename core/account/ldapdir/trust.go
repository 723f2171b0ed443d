package ldapdir

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// Trust says whether users can write the attribute with the identity. Nobody can read that out of a directory, so it is
// tried: as the user of Options.Probe, in that user's own entry, with a change that changes nothing (a value is taken away
// that is not there). A directory that has the right to check first answers "insufficient access"; anything else proves
// nothing. Without Probe and without the administrator's word the answer is ErrEditable.
func (d *Dir) Trust(ctx context.Context) error {
	if d.opt.NotEditable {
		return nil
	}
	if d.opt.Probe == nil {
		return fmt.Errorf("%w, or not: the directory was not tried and nobody vouches for it", backend.ErrEditable)
	}
	s, err := d.dialAs(ctx, d.places[0].server, *d.opt.Probe)
	if err != nil {
		return fmt.Errorf("try the directory as %s: %w", d.opt.Probe.DN, err)
	}
	defer func() { _ = s.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	defer stop()
	err = d.modify(ctx, s, d.opt.Probe.DN, func(m *ldap.ModifyRequest) {
		m.Delete(d.opt.IDAttribute, []string{"this value is not there"})
	})
	if code(err) == ldap.LDAPResultInsufficientAccessRights {
		return nil
	}
	return fmt.Errorf("%w: %s may change %s of its entry (%w)", backend.ErrEditable, d.opt.Probe.DN, d.opt.IDAttribute, err)
}

// Check tries what the directory will be used for, without changing anything: that it answers, lets us in, and has the
// entries that are configured.
func (d *Dir) Check(ctx context.Context) error {
	return d.change(ctx, func(s *session) error {
		sch, err := d.readSchema(ctx, s)
		if err != nil {
			return fmt.Errorf("check the directory: %w", err)
		}
		if _, err := d.exists(ctx, s, d.opt.GroupBase, "(cn=oidcbox)"); err != nil {
			return fmt.Errorf("check the directory: %w", err)
		}
		if a := d.opt.KeyAttribute; a != "" && len(sch.attributes) > 0 && !sch.attribute(a) {
			return fmt.Errorf("%w: the directory knows no attribute %s", ErrOptions, a)
		}
		if !sch.attribute(d.opt.IDAttribute) && len(sch.attributes) > 0 {
			return fmt.Errorf("%w: the directory knows no attribute %s", ErrOptions, d.opt.IDAttribute)
		}
		return nil
	})
}
