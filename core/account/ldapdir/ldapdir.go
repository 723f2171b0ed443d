package ldapdir

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// Dir is the directory as an account system. It is safe for concurrent use.
type Dir struct {
	opt    Options
	places []*place
	roots  *x509.CertPool
	slots  chan struct{}

	mu       sync.Mutex // one number is taken at a time by this process: the compare-and-swap is for the others
	schemaMu sync.Mutex
	schema   *schema
}

var _ backend.System = (*Dir)(nil)

// New returns the directory. It asks nobody: Check does. The error is ErrOptions, all that is wrong at once, or says why
// CAFile cannot be read.
func New(o Options) (*Dir, error) {
	o, err := o.complete()
	d := &Dir{opt: o, slots: make(chan struct{}, maxAtOnce)}
	for _, raw := range o.Servers {
		s, bad := parseServer(raw, o.StartTLS)
		err = errors.Join(err, bad)
		d.places = append(d.places, &place{server: s})
	}
	if err != nil {
		return nil, err
	}
	d.roots, err = roots(o.CAFile)
	return d, err
}

// Find looks an account up by the attribute with the identity. The error is ErrMismatch when more than one entry has it,
// ErrRefused when the entry that has it is none that a federated identity may have.
func (d *Dir) Find(ctx context.Context, id string) (backend.Account, error) {
	var u *user
	err := d.ask(ctx, func(s *session) error {
		var err error
		if u, err = d.find(ctx, s, id); err != nil || u == nil {
			return err
		}
		return d.fillGroups(ctx, s, u)
	})
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account in the directory: %w", err)
	}
	if u == nil {
		return backend.Account{}, backend.ErrNoAccount
	}
	return u.Account, nil
}

// Holder asks the entries, the records, and Options.Taken.
func (d *Dir) Holder(ctx context.Context, name string) (backend.Holder, error) {
	if err := names.Check(name); err != nil {
		return backend.Holder{}, fmt.Errorf("%w: %w", backend.ErrRefused, err)
	}
	var h backend.Holder
	err := d.ask(ctx, func(s *session) error {
		var err error
		h, err = d.holder(ctx, s, name)
		return err
	})
	if err != nil {
		return backend.Holder{}, fmt.Errorf("ask the directory who has %s: %w", name, err)
	}
	if h.Taken || d.opt.Taken == nil {
		return h, nil
	}
	h.Taken, err = d.opt.Taken(ctx, name)
	if err != nil {
		return backend.Holder{}, fmt.Errorf("ask who has %s: %w", name, err)
	}
	return h, nil
}

// holder asks for user, group and record in this order: the entry of today is more than what was given once.
func (d *Dir) holder(ctx context.Context, s *session, name string) (backend.Holder, error) {
	entries, err := d.search(ctx, s, query{
		base: d.opt.UserBase, filter: all("(objectClass=posixAccount)", equals(d.opt.NameAttribute, name)),
		attrs: []string{d.opt.IDAttribute},
	})
	if err != nil {
		return backend.Holder{}, err
	}
	for _, e := range entries {
		id, _ := d.identity(e)
		return backend.Holder{Taken: true, ID: id}, nil
	}
	rec, err := d.nameRecord(ctx, s, name)
	if err != nil {
		return backend.Holder{}, err
	}
	if rec != nil {
		return backend.Holder{Taken: true, ID: rec.id}, nil
	}
	g, err := d.group(ctx, s, name)
	return backend.Holder{Taken: g != nil}, err
}

// All gives every entry that has an identity and may have one; the others are logged and left out.
func (d *Dir) All(ctx context.Context, each func(backend.Account) error) error {
	var list []backend.Account
	err := d.ask(ctx, func(s *session) error {
		var err error
		list, err = d.accounts(ctx, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("list accounts of the directory: %w", err)
	}
	for _, a := range list {
		if err := each(a); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) accounts(ctx context.Context, s *session) ([]backend.Account, error) {
	known, err := d.allGroups(ctx, s)
	if err != nil {
		return nil, err
	}
	var list []backend.Account
	err = d.pages(ctx, s, d.userQuery("("+d.opt.IDAttribute+"=*)"), func(e entry) {
		if _, ours := d.identity(e); !ours {
			return
		}
		u, err := d.user(e)
		if err != nil {
			d.opt.Log.Warn("entry of the directory is left out", "err", err)
			return
		}
		u.Primary = known.name[u.GID]
		for _, g := range known.of[u.Name] {
			u.addGroup(g)
		}
		slices.Sort(u.Groups)
		list = append(list, u.Account)
	})
	return list, err
}
