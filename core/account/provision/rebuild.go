package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/store"
)

// RebuildOptions say how a lost ledger is restored.
type RebuildOptions struct {
	DryRun bool // nothing is written
	By     By
}

// Report is what a rebuilding did, or would do.
type Report struct {
	Restored []Restored `json:"restored"`
	Agreed   int        `json:"agreed"` // accounts that the ledger has as they are
	Refused  []Restored `json:"refused"`
}

// Restored is one account that was taken into the ledger, or not.
type Restored struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	UID    uint32 `json:"uid,omitzero"`
	Reason string `json:"reason,omitzero"` // why not
}

// Rebuild takes the accounts that the account system has for identities into the ledger. What the ledger has is left
// alone, and so is every account that it, or another account, contradicts. Nothing is believed while users can edit the
// field with their identity: the error wraps backend.ErrEditable then.
//
// The account system does not tell of requests, of who stopped whom, and of names that identities had before: a
// suspension stays where the account itself shows it, and former names stay taken where the account system remembers
// them.
func (d *Desk) Rebuild(ctx context.Context, o RebuildOptions) (Report, error) {
	if err := d.o.System.Trust(ctx); err != nil {
		return Report{}, fmt.Errorf("believe what the account system says of identities: %w", err)
	}
	found, err := d.all(ctx)
	if err != nil {
		return Report{}, err
	}
	var report Report
	for _, one := range found {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		row := Restored{ID: one.ID, Name: one.Name, UID: one.UID}
		known, err := false, plausible(one, found)
		if err == nil {
			known, err = d.restore(ctx, one, o)
		}
		switch {
		case errors.Is(err, ErrMismatch), errors.Is(err, errOccupied), errors.Is(err, names.ErrIdentity):
			row.Reason = err.Error()
			report.Refused = append(report.Refused, row)
		case err != nil:
			return report, err
		case known:
			report.Agreed++
		default:
			report.Restored = append(report.Restored, row)
		}
	}
	return report, nil
}

func (d *Desk) all(ctx context.Context) ([]backend.Account, error) {
	var found []backend.Account
	err := d.o.System.All(ctx, func(one backend.Account) error {
		found = append(found, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	return found, nil
}

// restore takes one account into the ledger. known says that it is there.
func (d *Desk) restore(ctx context.Context, one backend.Account, o RebuildOptions) (known bool, err error) {
	if err := d.sound(one); err != nil {
		return false, err
	}
	err = d.exclusive(ctx, one.ID, func(ctx context.Context, held store.Lease) error {
		a, _, err := d.read(ctx, one.ID)
		if err != nil {
			return err
		}
		if a.Phase == made {
			known = true
			return d.agree(a, one)
		}
		if a.Had || a.Name != "" && a.Name != one.Name {
			return fmt.Errorf("%w: the ledger has %s for the identity", ErrMismatch, a.Name)
		}
		if o.DryRun {
			return d.free(ctx, one)
		}
		_, err = d.adopt(ctx, held, one)
		if err == nil {
			d.audit(Event{Kind: Rebuilt, ID: one.ID, Name: one.Name}, o.By)
		}
		return err
	})
	return known, err
}

// plausible refuses an account whose text is no identity, or that shares identity, name or number with another one.
func plausible(one backend.Account, all []backend.Account) error {
	if _, _, err := names.Decode(one.ID); err != nil {
		return err
	}
	same := 0
	for _, other := range all {
		if other.ID == one.ID || other.Name == one.Name || one.UID != 0 && other.UID == one.UID {
			same++
		}
	}
	if same > 1 {
		return fmt.Errorf("%w: another account has the same identity, name or uid", ErrMismatch)
	}
	return nil
}

// free reports whether the name could be taken into the ledger.
func (d *Desk) free(ctx context.Context, one backend.Account) error {
	owner, err := d.owner(ctx, one.Name)
	if err == nil && owner != "" && owner != one.ID {
		err = fmt.Errorf("%w: %s", errOccupied, one.Name)
	}
	return err
}

// adopt writes down an account that the account system has for an identity. Everything about it was checked but whether
// name and uid are somebody else's in the ledger: the error is errOccupied or ErrMismatch then.
func (d *Desk) adopt(ctx context.Context, held store.Lease, found backend.Account) (account, error) {
	if err := d.sound(found); err != nil {
		return account{}, err
	}
	a, _, err := d.edit(ctx, held, found.ID, func(s *sheet) error {
		if err := s.claim(found.ID, found.Name); err != nil {
			return err
		}
		if err := s.number(found.ID, found.UID); err != nil {
			return err
		}
		s.a.GID, s.a.Phase, s.a.Had, s.a.Pending = found.GID, made, true, false
		s.d.Primary, s.d.Groups, s.d.Request = found.Primary, found.Groups, nil
		return nil
	})
	return a, err
}
