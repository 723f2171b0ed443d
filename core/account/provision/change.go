package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

const sessionsLeft = "The user is kept out from now on, but the account system did not end running sessions. " +
	"It will be asked again."

// Suspend keeps an identity out. The ledger says so before anything else happens, and without waiting for an operation
// that is under way: from then on nobody is let in by it, in no process. Then its one-time passwords are made useless,
// and the account system ends sessions. A *Failure says that this last part has to be done again; [Desk.Mend] does it.
func (d *Desk) Suspend(ctx context.Context, id string, by By) (Answer, error) {
	a, step, err := d.stop(ctx, id, by)
	if err == nil && !step.Allowed && a.Phase == reserved { // an account is being made: wait for it
		err = d.exclusive(ctx, id, func(ctx context.Context, _ store.Lease) error {
			a, step, err = d.stop(ctx, id, by)
			return err
		})
	}
	if err != nil {
		return Answer{}, unread(err)
	}
	answer := changed(id, state.Suspend, a.before, step)
	if !step.Allowed {
		return answer, nil
	}
	d.audit(Event{Kind: Suspended, ID: id, Name: a.Name, State: state.Suspended}, by)
	burned := d.burn(ctx, id, by)
	err = d.exclusive(ctx, id, func(ctx context.Context, held store.Lease) error { return d.finish(ctx, held, id) })
	if err = errors.Join(burned, err); err != nil {
		reason := "not finished: " + err.Error()
		d.audit(Event{Kind: Refused, ID: id, Name: a.Name, State: state.Suspended, Reason: reason}, by)
		return answer, &Failure{Message: sessionsLeft, Err: err}
	}
	return answer, nil
}

// stopped is an account with the state it had before.
type stopped struct {
	account
	before state.State
}

// stop puts the mark of a suspension into the ledger.
func (d *Desk) stop(ctx context.Context, id string, by By) (stopped, state.Step, error) {
	var step state.Step
	var before state.State
	a, _, err := d.edit(ctx, nil, id, func(s *sheet) error {
		before = s.a.facts().State()
		if step = state.Next(before, state.Suspend, state.Circumstances{}); !step.Allowed {
			return errNothing
		}
		// Whom somebody stopped by name, a bulk job does not free again.
		if old := s.a.Suspended; old == nil || old.Job != "" && by.Job == "" {
			s.a.Suspended = &mark{At: s.now, By: by.Who, Reason: by.Reason, Job: by.Job}
		}
		s.a.Op = &operation{Request: state.Suspend, Since: s.now, By: by.Who}
		return nil
	})
	return stopped{account: a, before: before}, step, err
}

func changed(id string, request state.Request, from state.State, step state.Step) Answer {
	return Answer{
		State: step.Answer, Message: state.ChangeMessage(id, request, from, step), Credentials: map[string]string{},
	}
}

// burn makes one-time passwords useless.
func (d *Desk) burn(ctx context.Context, id string, by By) error {
	if d.o.OTP == nil {
		return nil
	}
	n, err := d.o.OTP.Burn(ctx, id)
	if err != nil {
		return fmt.Errorf("burn one-time passwords: %w", err)
	}
	if n > 0 {
		d.audit(Event{Kind: Burned, ID: id, Reason: fmt.Sprintf("%d one-time passwords burned", n)}, by)
	}
	return nil
}

// finish tells the account system what the ledger says already, and notes that it knows.
func (d *Desk) finish(ctx context.Context, held store.Lease, id string) error {
	a, det, err := d.read(ctx, id)
	if err != nil || a.Op == nil {
		return err
	}
	ref := backend.Ref{ID: a.ID, Name: a.Name}
	switch a.Op.Request {
	case state.Suspend:
		err = d.o.System.Suspend(ctx, ref, !d.o.Rules.KeepSessions)
	case state.Undeploy:
		err = d.o.System.Undeploy(ctx, ref)
	case state.Limit:
		err = d.o.System.SetTier(ctx, ref, backend.NoShell)
	case state.Accept:
		if !a.Pending || det.Request == nil {
			break
		}
		_, err = d.decide(ctx, held, work{a: a, det: det}, true, By{Who: a.Op.By})
		return err
	default:
		return fmt.Errorf("%w: operation %q", ErrRecord, a.Op.Request)
	}
	// Without an account there is nobody to stop, and a system that cannot do it leaves it to the ledger.
	unable := errors.Is(err, backend.ErrUnsupported)
	if err != nil && !unable && !errors.Is(err, backend.ErrNoAccount) {
		return fmt.Errorf("%s in the account system: %w", a.Op.Request, err)
	}
	if unable {
		d.o.Log.Warn("the account system cannot do all of it", "request", a.Op.Request, "id", id, "err", err)
	}
	_, _, err = d.edit(ctx, held, id, func(s *sheet) error {
		if s.a.Op == nil || *s.a.Op != *a.Op { // another one was put there meanwhile
			return errNothing
		}
		s.a.Op = nil
		if a.Op.Request == state.Undeploy {
			return s.forget()
		}
		return nil
	})
	return err
}

// forget leaves of an identity what keeps its name and uid from others, and nothing of one that never had an account.
func (s *sheet) forget() error {
	s.a.Pending, s.a.Rejected, s.a.Limited = false, nil, nil
	s.d = details{}
	if s.drop = !s.a.Had; s.drop {
		return s.release()
	}
	return nil
}

// change runs a request of an administrator under the lease. fn does it when the table of states allows it.
func (d *Desk) change(
	ctx context.Context, id string, request state.Request, fn func(context.Context, store.Lease, account, details) error,
) (answer Answer, err error) {
	err = d.exclusive(ctx, id, func(ctx context.Context, held store.Lease) error {
		a, det, err := d.read(ctx, id)
		if err != nil {
			return unread(err)
		}
		now, err := d.look(ctx, a)
		if err != nil && request != state.Limit {
			return d.mismatch(a, err)
		}
		from := now.facts.State()
		step := state.Next(from, request, state.Circumstances{NoLogin: a.Limited != nil || now.facts.NoLogin})
		answer = changed(id, request, from, step)
		if !step.Allowed {
			return nil
		}
		return fn(ctx, held, a, det)
	})
	return answer, err
}

// Resume ends a suspension.
func (d *Desk) Resume(ctx context.Context, id string, by By) (Answer, error) {
	return d.change(ctx, id, state.Resume, func(ctx context.Context, held store.Lease, a account, _ details) error {
		err := d.o.System.Resume(ctx, backend.Ref{ID: a.ID, Name: a.Name})
		if err != nil && !errors.Is(err, backend.ErrUnsupported) && !errors.Is(err, backend.ErrNoAccount) {
			return d.unwilling(a, fmt.Errorf("resume in the account system: %w", err))
		}
		before := a.Suspended
		a, _, err = d.edit(ctx, held, id, func(s *sheet) error {
			if s.a.Suspended == nil || before == nil || *s.a.Suspended != *before { // stopped anew meanwhile
				return errNothing
			}
			s.a.Suspended, s.a.Op = nil, nil
			return nil
		})
		if err != nil {
			return unread(err)
		}
		d.audit(Event{Kind: Resumed, ID: id, Name: a.Name, State: a.facts().State()}, by)
		return nil
	})
}

// unwilling is what an error of the account system means to an administrator.
func (d *Desk) unwilling(a account, err error) error {
	switch {
	case errors.Is(err, backend.ErrMismatch):
		return d.mismatch(a, fmt.Errorf("%w: %w", ErrMismatch, err))
	case errors.Is(err, backend.ErrRefused), errors.Is(err, backend.ErrUnsupported), errors.Is(err, backend.ErrReadOnly):
		return &Rejection{Message: "The account system refuses that.", Err: err}
	}
	return &Failure{Message: "The account system did not answer as it should. Please try again later.", Err: err}
}

// Limit takes the shell away: the person may log in, and cannot work.
func (d *Desk) Limit(ctx context.Context, id string, by By) (Answer, error) {
	return d.change(ctx, id, state.Limit, func(ctx context.Context, held store.Lease, a account, _ details) error {
		if _, err := d.begin(ctx, held, id, state.Limit, by); err != nil {
			return unread(err)
		}
		err := d.o.System.SetTier(ctx, backend.Ref{ID: a.ID, Name: a.Name}, backend.NoShell)
		_, _, e := d.edit(ctx, held, id, func(s *sheet) error {
			switch {
			case errors.Is(err, backend.ErrUnsupported), errors.Is(err, backend.ErrRefused):
				s.a.Limited = a.Limited // a ledger alone takes no shell away
			case err != nil:
				return errNothing // Mend goes on
			}
			if s.a.Op != nil && s.a.Op.Request == state.Limit {
				s.a.Op = nil
			}
			return nil
		})
		if err != nil {
			return d.unwilling(a, fmt.Errorf("limit in the account system: %w", err))
		}
		if e != nil {
			return unread(e)
		}
		d.audit(Event{Kind: Limited, ID: id, Name: a.Name, State: state.Limited}, by)
		return nil
	})
}

// begin writes down what the account system is about to be asked for.
func (d *Desk) begin(ctx context.Context, held store.Lease, id string, request state.Request, by By) (account, error) {
	a, _, err := d.edit(ctx, held, id, func(s *sheet) error {
		if request == state.Limit && s.a.Limited == nil {
			s.a.Limited = &mark{At: s.now, By: by.Who, Reason: by.Reason, Job: by.Job}
		}
		if request == state.Undeploy {
			s.a.Phase, s.a.Had = gone, true // also of half an account: it may have had a uid
		}
		if s.a.Op == nil || s.a.Op.Request != state.Suspend {
			s.a.Op = &operation{Request: request, Since: s.now, By: by.Who}
		}
		return nil
	})
	return a, err
}

// Unlimit gives back the shell that the last deployment had.
func (d *Desk) Unlimit(ctx context.Context, id string, by By) (Answer, error) {
	return d.change(ctx, id, state.Unlimit, func(ctx context.Context, held store.Lease, a account, det details) error {
		tier := det.Tier
		if tier == "" {
			tier = backend.Full
		}
		if err := d.o.System.SetTier(ctx, backend.Ref{ID: a.ID, Name: a.Name}, tier); err != nil {
			return d.unwilling(a, fmt.Errorf("unlimit in the account system: %w", err))
		}
		a, _, err := d.edit(ctx, held, id, func(s *sheet) error {
			s.a.Limited = nil
			if s.a.Op != nil && s.a.Op.Request == state.Limit {
				s.a.Op = nil
			}
			return nil
		})
		if err != nil {
			return unread(err)
		}
		d.audit(Event{Kind: Unlimited, ID: id, Name: a.Name, State: a.facts().State()}, by)
		return nil
	})
}

// Undeploy takes the account away, with keys and sessions, or a request or rejection of an identity without one. Home
// stays. Name and uid stay with the identity: it gets them again, and nobody else does.
func (d *Desk) Undeploy(ctx context.Context, id string, by By) (Answer, error) {
	return d.change(ctx, id, state.Undeploy, func(ctx context.Context, held store.Lease, a account, _ details) error {
		if !a.known() {
			return nil
		}
		var err error
		if a.Had || a.Phase == reserved {
			err = d.takeAway(ctx, held, a, by)
		} else if _, _, err = d.edit(ctx, held, id, (*sheet).forget); err != nil {
			err = unread(err)
		}
		if err != nil {
			return err
		}
		d.audit(Event{Kind: Undeployed, ID: id, Name: a.Name, State: state.NotDeployed}, by)
		return nil
	})
}

// takeAway has the account system remove an account, whole or half made.
func (d *Desk) takeAway(ctx context.Context, held store.Lease, a account, by By) error {
	if _, err := d.begin(ctx, held, a.ID, state.Undeploy, by); err != nil {
		return unread(err)
	}
	if err := errors.Join(d.burn(ctx, a.ID, by), d.finish(ctx, held, a.ID)); err != nil {
		return d.unwilling(a, err)
	}
	return nil
}
