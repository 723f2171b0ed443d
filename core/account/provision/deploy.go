package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// maxTries is how many names are tried when others take them in the same moment.
const maxTries = 64

// seenStep is how exactly the last deployment is remembered: not every login is worth a write.
const seenStep = 24 * time.Hour

// Deploy gives an identity its account, or brings the one it has to what its issuer says now. Of an account that is
// suspended it says "deployed", as clients expect, and changes nothing. The error is a *Rejection, a *Failure or
// names.ErrIdentity.
func (d *Desk) Deploy(ctx context.Context, s Subject) (Answer, error) {
	s, err := s.checked()
	if err != nil {
		return Answer{}, err
	}
	p, err := d.plan(s)
	if err != nil {
		return Answer{}, d.refuse(s, err)
	}
	var answer Answer
	err = d.exclusive(ctx, s.ID, func(ctx context.Context, held store.Lease) (err error) {
		answer, err = d.deploy(ctx, held, p)
		return err
	})
	return answer, err
}

func (d *Desk) deploy(ctx context.Context, held store.Lease, p plan) (Answer, error) {
	a, det, err := d.read(ctx, p.subject.ID)
	if err != nil {
		return Answer{}, unread(err)
	}
	if !a.Had {
		if a, err = d.former(ctx, held, a, p); err != nil {
			return Answer{}, err
		}
	}
	now, err := d.look(ctx, a)
	if err != nil {
		return Answer{}, d.mismatch(a, err)
	}
	from := now.facts.State()
	// An account that was removed behind our back had its approval.
	approval := p.rules.Approval && a.Phase != made
	step := state.Next(from, state.Deploy, state.Circumstances{Approval: approval})
	switch {
	case from == state.Suspended:
		return d.existing(a.Name, state.Deployment{}.Message()), nil
	case from == state.Rejected:
		return Answer{}, d.refuse(p.subject, &Rejection{Message: state.RejectedBefore})
	case !step.Allowed:
		return Answer{}, unread(now.err)
	case step.To == state.Pending:
		return d.submit(ctx, held, a, det, p)
	case p.rules.Approval && now.facts.Exists:
		return d.regroup(ctx, held, work{a: a, det: det, p: p}, now.account)
	}
	return d.build(ctx, held, work{a: a, det: det, p: p})
}

// former looks for an account that the account system has for an identity of which the ledger knows none.
func (d *Desk) former(ctx context.Context, held store.Lease, a account, p plan) (account, error) {
	if a.Phase == reserved { // ours, half made
		return a, nil
	}
	a.ID = p.subject.ID
	found, err := d.o.System.Find(ctx, a.ID)
	switch {
	case errors.Is(err, backend.ErrNoAccount):
		return a, nil
	case errors.Is(err, backend.ErrMismatch):
		return a, d.mismatch(a, fmt.Errorf("%w: %w", ErrMismatch, err))
	case err != nil:
		return a, unread(fmt.Errorf("find the account: %w", err))
	case !d.o.Rules.Adopt:
		return a, d.mismatch(a, fmt.Errorf("%w: local user %s carries the identity and is not in the ledger "+
			"(provisioner admin rebuild)", ErrMismatch, found.Name))
	}
	if found.ID != a.ID {
		return a, d.mismatch(a, fmt.Errorf("%w: it carries another identity", ErrMismatch))
	}
	if err := d.o.System.Trust(ctx); err != nil {
		return a, d.mismatch(a, fmt.Errorf("%w: %w", ErrMismatch, err))
	}
	adopted, err := d.adopt(ctx, held, found)
	if errors.Is(err, ErrMismatch) || errors.Is(err, errOccupied) {
		return a, d.mismatch(a, err)
	}
	if err != nil {
		return a, unread(err)
	}
	d.audit(Event{Kind: Rebuilt, ID: adopted.ID, Name: adopted.Name}, By{Who: adopted.ID})
	return adopted, nil
}

// work is one deployment: the records it began with and the account that is wanted.
type work struct {
	a     account
	det   details
	p     plan
	avoid []string // names that the account system does not give
}

// build makes the account, or changes the one that is there.
func (d *Desk) build(ctx context.Context, held store.Lease, w work) (Answer, error) {
	for range maxTries {
		if err := d.reserve(ctx, held, &w); errors.Is(err, errOccupied) {
			continue
		} else if err != nil {
			return Answer{}, d.refuse(w.p.subject, err)
		}
		done, err := d.o.System.Deploy(ctx, w.p.wanted(w.a))
		switch {
		case err == nil:
			return d.commit(ctx, held, w, done)
		case errors.Is(err, backend.ErrTaken) && !w.a.Had:
			w.avoid = append(w.avoid, w.a.Name)
			if w.a, err = d.unreserve(ctx, held, w.a.ID, true); err != nil {
				return Answer{}, unread(err)
			}
		default:
			return Answer{}, d.undone(ctx, held, w, err)
		}
	}
	return Answer{}, unread(errors.New("others took every name in the same moment"))
}

// reserve makes sure that the ledger says whose the name is before there is an account by it.
func (d *Desk) reserve(ctx context.Context, held store.Lease, w *work) error {
	if w.a.Phase == made || w.a.Phase == reserved && w.a.Name != "" {
		return nil
	}
	name := w.a.Name
	if name == "" {
		var err error
		if name, err = d.choose(ctx, w.p, w.avoid); err != nil {
			return err
		}
	}
	a, _, err := d.edit(ctx, held, w.p.subject.ID, func(s *sheet) error {
		s.a.Phase = reserved
		if err := s.claim(w.p.subject.ID, name); err != nil {
			return err
		}
		return d.poolUsed(s.tx, w.p, name)
	})
	if errors.Is(err, errOccupied) {
		w.avoid = append(w.avoid, name)
		return err
	}
	if err != nil {
		return unread(err)
	}
	w.a = a
	return nil
}

// unreserve forgets an account of which nothing was made. A request that waits keeps the name unless somebody else has
// it.
func (d *Desk) unreserve(ctx context.Context, held store.Lease, id string, taken bool) (account, error) {
	a, _, err := d.edit(ctx, held, id, func(s *sheet) error {
		if s.a.Had || s.a.Phase != reserved {
			return errNothing
		}
		s.a.Phase, s.a.Op = none, nil
		if s.a.Pending && !taken {
			return nil
		}
		if err := s.release(); err != nil {
			return err
		}
		s.drop = s.a.Rejected == nil && !s.a.Pending
		return nil
	})
	if !a.known() {
		a.ID = id
	}
	return a, err
}

// undone says what a deployment that the account system did not do means, and leaves nothing of one that it refused.
func (d *Desk) undone(ctx context.Context, held store.Lease, w work, err error) error {
	err = fmt.Errorf("deploy %s: %w", w.a.Name, err)
	switch {
	case errors.Is(err, backend.ErrMismatch), errors.Is(err, backend.ErrTaken):
		return d.mismatch(w.a, fmt.Errorf("%w: %w", ErrMismatch, err))
	case errors.Is(err, backend.ErrReadOnly), errors.Is(err, backend.ErrRefused), errors.Is(err, backend.ErrUnsupported):
		if _, e := d.unreserve(ctx, held, w.a.ID, false); e != nil {
			return unread(errors.Join(err, e))
		}
		message := "The account system refuses to make this account. Please contact the administrator."
		if errors.Is(err, backend.ErrReadOnly) {
			message = "There is no account for you, and none can be made here. Please contact the administrator."
		}
		return d.refuse(w.p.subject, &Rejection{Message: message, Err: err})
	}
	return &Failure{Message: "The account system did not answer as it should. Please try again later.", Err: err}
}

// commit writes down what the account system did.
func (d *Desk) commit(ctx context.Context, held store.Lease, w work, done backend.Done) (Answer, error) {
	made, err := d.record(ctx, held, w, done.Account)
	switch {
	case errors.Is(err, ErrMismatch):
		return Answer{}, d.mismatch(w.a, err)
	case err != nil:
		return Answer{}, unread(err)
	}
	if done.Created || len(done.Added)+len(done.Removed)+len(w.p.refused) > 0 {
		e := Event{
			Kind: Deployed, ID: made.ID, Name: made.Name, State: made.facts().State(), Created: done.Created,
			Added: done.Added, Removed: done.Removed, Refused: w.p.refused,
		}
		d.audit(e, By{Who: made.ID})
	}
	deployment := state.Deployment{Created: done.Created, Added: done.Added, Removed: done.Removed}
	for _, k := range done.Keys {
		deployment.Credentials = append(deployment.Credentials, state.Credential{Kind: "ssh", Name: k.Name, ID: k.ID})
	}
	return d.existing(made.Name, deployment.Message()), nil
}

func (d *Desk) record(ctx context.Context, held store.Lease, w work, got backend.Account) (account, error) {
	if err := d.agree(account{ID: w.a.ID, Name: w.a.Name, UID: w.a.UID}, got); err != nil {
		return account{}, err
	}
	a, _, err := d.edit(ctx, held, w.a.ID, func(s *sheet) error {
		if w.same(s, got) {
			return errNothing
		}
		if err := s.number(w.a.ID, got.UID); err != nil {
			return err
		}
		s.a.GID, s.a.Phase, s.a.Had, s.a.Pending = got.GID, made, true, false
		if s.a.Op != nil && s.a.Op.Request != state.Suspend {
			s.a.Op = nil
		}
		w.describe(&s.d, s.now)
		return nil
	})
	return a, err
}

// same reports whether the ledger has all of it.
func (w work) same(s *sheet, got backend.Account) bool {
	return s.a.Phase == made && s.a.UID == got.UID && s.a.GID == got.GID && !s.a.Pending && s.d.Request == nil &&
		s.d.Primary == w.p.primary && s.d.Tier == w.p.tier && slices.Equal(s.d.Groups, w.p.groups) &&
		slices.Equal(s.d.VOs, w.p.subject.VOs) && s.d.Person == w.p.subject.person() && s.now.Sub(s.d.Seen) < seenStep
}

// describe writes down what is wanted now. A request that waited is done with.
func (w work) describe(det *details, now time.Time) {
	s := w.p.subject
	det.Person, det.Primary, det.Groups, det.Tier = s.person(), w.p.primary, w.p.groups, w.p.tier
	det.VOs, det.VOsCut, det.Seen, det.Request = s.VOs, s.VOsCut, now, nil
}

// existing is the answer for an account that is there.
func (d *Desk) existing(name, message string) Answer {
	return Answer{State: state.Deployed, Message: message, Credentials: d.credentials(name)}
}
