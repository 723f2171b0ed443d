package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// present is what is true of an identity now.
type present struct {
	facts   state.Facts
	account backend.Account // as the account system has it; the zero value when it was not asked or has none
	err     error           // why facts are unread
}

// look asks the account system about an identity. The error is ErrMismatch.
func (d *Desk) look(ctx context.Context, a account) (present, error) {
	now := present{facts: a.facts()}
	if !now.facts.Exists || now.facts.Suspended {
		return now, nil
	}
	found, err := d.o.System.Find(ctx, a.ID)
	switch {
	case errors.Is(err, backend.ErrNoAccount): // somebody removed it
		now.facts.Exists = false
		return now, nil
	case errors.Is(err, backend.ErrMismatch):
		return now, fmt.Errorf("%w: %w", ErrMismatch, err)
	case err != nil:
		now.facts.Unread = true
		now.err = fmt.Errorf("find the account: %w", err)
		return now, nil
	}
	if err := d.agree(a, found); err != nil {
		return now, err
	}
	now.account = found
	now.facts.Suspended = found.Suspended
	now.facts.NoLogin = now.facts.NoLogin || found.NoLogin
	return now, nil
}

// Status says what the account of an identity is. A mismatch is the state unknown, with no name in the message.
func (d *Desk) Status(ctx context.Context, s Subject) (Answer, error) {
	a, _, err := d.read(ctx, s.ID)
	if err != nil {
		return Answer{}, unread(err)
	}
	now, err := d.look(ctx, a)
	if err != nil {
		d.audit(Event{Kind: Refused, ID: s.ID, Name: a.Name, State: state.Unknown, Reason: err.Error()}, By{Who: s.ID})
		now.facts.Unread = true
	}
	if now.err != nil {
		d.o.Log.Error("the account system was asked in vain", "id", s.ID, "err", now.err)
	}
	st := now.facts.State()
	return Answer{State: st, Message: state.StatusMessage(st, a.Name), Credentials: map[string]string{}}, nil
}

// unread is the failure for a ledger that does not answer.
func unread(err error) error {
	return &Failure{Message: "The accounts cannot be looked up just now. Please try again later.", Err: err}
}

// mismatch is the rejection where ledger and account system do not agree, or may not.
func (d *Desk) mismatch(a account, err error) error {
	d.audit(Event{Kind: Refused, ID: a.ID, Name: a.Name, State: state.Unknown, Reason: err.Error()}, By{Who: a.ID})
	return &Rejection{Message: "There is a problem with your account. Please contact the administrator.", Err: err}
}
