package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// Request is what an administrator decides about: a new account, or further groups for one.
type Request struct {
	ID      string       `json:"id"`
	Sub     string       `json:"sub"`
	Iss     string       `json:"iss"`
	Name    string       `json:"name"` // reserved for a new account
	Primary string       `json:"primary"`
	Groups  []string     `json:"groups,omitempty"`  // supplementary ones, all of them
	Added   []string     `json:"added,omitempty"`   // those that the account has not
	Removed []string     `json:"removed,omitempty"` // of an account that is there; they are taken away without asking
	Person  names.Person `json:"person"`
	Email   string       `json:"email,omitzero"`
	Tier    backend.Tier `json:"tier"`
	Change  bool         `json:"change,omitzero"` // the account is there, only groups are added
	// Revision is another one whenever what is asked for is.
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
}

// request is a Request as it is kept.
type request struct {
	Version int `json:"v"`
	Request
	Keys   []backend.Key `json:"keys,omitempty"`
	NoKeys bool          `json:"no_keys,omitzero"` // keys are left alone
	Told   bool          `json:"told,omitzero"`    // Options.Notify was told of it
}

func (p plan) request(a account, groups []string, now time.Time) request {
	s := p.subject
	r := request{
		Request: Request{
			ID: s.ID, Sub: s.Sub, Iss: s.Iss, Name: a.Name, Primary: p.primary, Groups: groups, Tier: p.tier,
			Person: names.Person{
				PreferredUsername: bounded(s.Person.PreferredUsername), Given: bounded(s.Person.Given),
				Family: bounded(s.Person.Family), Name: bounded(s.Person.Name), Email: bounded(s.Person.Email),
			},
			Email: s.Email, Change: a.Phase == made, Added: groups,
		},
		Keys: s.Keys, NoKeys: s.Keys == nil,
	}
	raw, err := json.Marshal(r)
	if err != nil { // texts always encode
		raw = nil
	}
	r.Version, r.Revision, r.At = recordVersion, digest(string(raw))[:16], now
	return r
}

// plan is the account that was asked for then.
func (r request) plan(rules IssuerRules, det details) plan {
	s := Subject{
		ID: r.ID, Sub: r.Sub, Iss: r.Iss, Person: r.Person, Email: r.Email, Keys: r.Keys, VOs: det.VOs, VOsCut: det.VOsCut,
	}
	if r.NoKeys {
		s.Keys = nil
	} else if s.Keys == nil {
		s.Keys = []backend.Key{}
	}
	return plan{subject: s, rules: rules, primary: r.Primary, groups: r.Groups, tier: r.Tier}
}

// submit keeps a request for a new account, with the name it will have.
func (d *Desk) submit(ctx context.Context, held store.Lease, a account, det details, p plan) (Answer, error) {
	w := work{a: a, det: det, p: p}
	for range maxTries {
		name, err := w.a.Name, error(nil)
		if name == "" {
			if name, err = d.choose(ctx, p, w.avoid); err != nil {
				return Answer{}, d.refuse(p.subject, err)
			}
		}
		next, err := d.keepRequest(ctx, held, p, name)
		if errors.Is(err, errOccupied) {
			w.avoid = append(w.avoid, name)
			continue
		}
		if err != nil {
			return Answer{}, unread(err)
		}
		return d.submitted(ctx, held, det.Request, next)
	}
	return Answer{}, unread(errors.New("others took every name in the same moment"))
}

// keepRequest writes the request down, unless it waits already, and returns the one that waits.
func (d *Desk) keepRequest(ctx context.Context, held store.Lease, p plan, name string) (request, error) {
	_, det, err := d.edit(ctx, held, p.subject.ID, func(s *sheet) error {
		if err := s.claim(p.subject.ID, name); err != nil {
			return err
		}
		next := p.request(s.a, p.groups, s.now)
		if s.a.Pending && s.d.Request != nil && s.d.Request.Revision == next.Revision {
			return errNothing
		}
		s.a.Pending, s.d.Request = true, &next
		s.d.Person, s.d.VOs, s.d.VOsCut = p.subject.person(), p.subject.VOs, p.subject.VOsCut
		return d.poolUsed(s.tx, p, name)
	})
	if err != nil || det.Request == nil {
		return request{}, err
	}
	return *det.Request, nil
}

// submitted tells the administrator of a request that is new to him.
func (d *Desk) submitted(ctx context.Context, held store.Lease, before *request, now request) (Answer, error) {
	message, kind := state.Submitted, Submitted
	switch {
	case before != nil && before.Revision == now.Revision:
		message = state.SubmittedBefore
	case before != nil:
		message, kind = state.SubmittedAnew, Updated
	}
	if err := d.tell(ctx, held, kind, now); err != nil {
		return Answer{}, unread(err)
	}
	return Answer{State: state.Pending, Message: message, Credentials: map[string]string{}}, nil
}

// tell notifies of a request, once.
func (d *Desk) tell(ctx context.Context, held store.Lease, kind Kind, r request) error {
	if r.Told {
		return nil
	}
	e := d.event(Event{Kind: kind, ID: r.ID, Name: r.Name, State: state.Pending, Request: r.Request}, By{Who: r.ID})
	if r.Change {
		e.State = state.Deployed
	}
	d.o.Audit(e)
	d.o.Notify(e)
	_, _, err := d.edit(ctx, held, r.ID, func(s *sheet) error {
		if s.d.Request == nil || s.d.Request.Revision != r.Revision {
			return errNothing
		}
		told := *s.d.Request
		told.Told = true
		s.d.Request = &told
		return nil
	})
	return err
}

// regroup is a deployment of an account that is there where further groups need an approval. What claims no longer give
// is taken away at once: nobody has to agree to that.
func (d *Desk) regroup(ctx context.Context, held store.Lease, w work, found backend.Account) (Answer, error) {
	has := union(found.Groups, []string{found.Primary})
	added := without(without(w.p.groups, has), d.o.Rules.Additional)
	if len(added) == 0 {
		return d.build(ctx, held, w)
	}
	next := w.p.request(w.a, w.p.groups, d.now())
	next.Added, next.Removed = added, without(found.Groups, w.p.groups)
	w.p.groups = without(w.p.groups, added)
	if slices.Contains(added, w.p.primary) { // an account system may give that one, too
		r, given := d.o.Rules, without(w.p.groups, d.o.Rules.Additional)
		if w.p.primary, _ = names.Primary(r.Primary, given, r.Fallback); w.p.primary == "" {
			w.p.primary = found.Primary
		}
	}
	answer, err := d.build(ctx, held, w)
	if err != nil || w.det.Declined == next.Revision {
		return answer, err
	}
	if before := w.det.Request; before != nil && before.Revision == next.Revision {
		next.Told, next.At = before.Told, before.At
	}
	_, _, err = d.edit(ctx, held, w.a.ID, func(s *sheet) error {
		s.a.Pending, s.d.Request = true, &next
		return nil
	})
	if err != nil {
		return Answer{}, unread(err)
	}
	kind := Submitted
	if w.det.Request != nil {
		kind = Updated
	}
	if err := d.tell(ctx, held, kind, next); err != nil {
		return Answer{}, unread(err)
	}
	answer.Message = state.ExistedNewGroups + "."
	return answer, nil
}

// Pending are the requests that wait, the oldest first.
func (d *Desk) Pending(ctx context.Context) ([]Request, error) {
	var out []Request
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		out = nil
		for a, err := range accounts(tx) {
			if err != nil {
				return err
			}
			if !a.Pending {
				continue
			}
			r, found, err := get[request](tx, tableRequests, key(a.ID))
			if err != nil {
				return err
			}
			if found {
				out = append(out, r.Request)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out, nil
}

// PendingOf is the request of one identity that waits. The error is ErrNotPending.
func (d *Desk) PendingOf(ctx context.Context, id string) (Request, error) {
	a, det, err := d.read(ctx, id)
	if err != nil {
		return Request{}, err
	}
	if !a.Pending || det.Request == nil {
		return Request{}, ErrNotPending
	}
	return det.Request.Request, nil
}

// Decide grants what waits, or does not. revision is that of the request it is about, "" for whatever waits. The error
// is ErrNotPending, ErrChanged, or one of Deploy.
func (d *Desk) Decide(ctx context.Context, id, revision string, accept bool, by By) (Answer, error) {
	var answer Answer
	err := d.exclusive(ctx, id, func(ctx context.Context, held store.Lease) error {
		a, det, err := d.read(ctx, id)
		switch {
		case err != nil:
			return unread(err)
		case !a.Pending || det.Request == nil:
			return ErrNotPending
		case revision != "" && revision != det.Request.Revision:
			return ErrChanged
		}
		answer, err = d.decide(ctx, held, work{a: a, det: det}, accept, by)
		return err
	})
	return answer, err
}

func (d *Desk) decide(ctx context.Context, held store.Lease, w work, accept bool, by By) (Answer, error) {
	now, err := d.look(ctx, w.a)
	if err != nil {
		return Answer{}, d.mismatch(w.a, err)
	}
	action, kind := state.Reject, Rejected
	if accept {
		action, kind = state.Accept, Accepted
	}
	from, waiting := now.facts.State(), w.det.Request
	step := state.Next(from, action, state.Circumstances{NoLogin: now.facts.NoLogin})
	answer := Answer{
		State: step.Answer, Message: state.ChangeMessage(w.a.ID, action, from, step), Credentials: map[string]string{},
	}
	if !step.Allowed {
		return answer, nil
	}
	if accept {
		if err := d.grant(ctx, held, w, by); err != nil {
			return Answer{}, err
		}
	} else if err := d.decline(ctx, held, w.a.ID, by); err != nil {
		return Answer{}, unread(err)
	}
	e := d.event(Event{
		Kind: kind, ID: w.a.ID, Name: waiting.Name, State: step.Answer, Request: waiting.Request,
	}, by)
	d.o.Audit(e)
	d.o.Notify(e)
	return answer, nil
}

// grant makes the account as it was asked for. That it was granted is written down first: Mend goes on with it.
func (d *Desk) grant(ctx context.Context, held store.Lease, w work, by By) error {
	w.p = w.det.Request.plan(d.o.Rules.issuer(w.det.Request.Iss), w.det)
	a, _, err := d.edit(ctx, held, w.a.ID, func(s *sheet) error {
		s.a.Op = &operation{Request: state.Accept, Since: s.now, By: by.Who}
		return nil
	})
	if err != nil {
		return unread(err)
	}
	w.a = a
	_, err = d.build(ctx, held, w)
	return err
}

// decline forgets the request. A new account's name is free again, and the identity is told the same from then on.
func (d *Desk) decline(ctx context.Context, held store.Lease, id string, by By) error {
	_, _, err := d.edit(ctx, held, id, func(s *sheet) error {
		if s.a.Phase == made {
			s.d.Declined = s.d.Request.Revision
		} else {
			s.a.Rejected = &mark{At: s.now, By: by.Who, Reason: by.Reason}
		}
		s.a.Pending, s.d.Request, s.a.Op = false, nil, nil
		if s.a.Phase == none {
			return s.release()
		}
		return nil
	})
	return err
}
