package provision

import (
	"errors"
	"slices"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// plan is the account that the rules give an identity.
type plan struct {
	subject Subject
	rules   IssuerRules
	primary string
	groups  []string // supplementary ones, sorted
	tier    backend.Tier
	refused []string // groups that claims asked for and nobody gets
}

// plan applies the rules to what the issuer says. The error is a *Rejection.
func (d *Desk) plan(s Subject) (plan, error) {
	r := d.o.Rules
	p := plan{subject: s, rules: r.issuer(s.Iss)}
	tier, ok := p.rules.tier(s)
	if !ok {
		return p, &Rejection{Message: state.LowAssurance}
	}
	p.tier = tier
	rules := r.Groups
	if p.rules.Groups != nil {
		rules = *p.rules.Groups
	}
	given, err := rules.Names(s.Entitlements, s.Groups)
	if err != nil {
		return p, &Rejection{Message: "You are in too many groups for this resource.", Err: err}
	}
	for _, refusal := range given.Refused {
		p.refused = append(p.refused, refusal.Name)
	}
	p.refused = slices.DeleteFunc(p.refused, func(name string) bool { return name == "" })
	if p.primary, err = names.Primary(r.Primary, given.Names, r.Fallback); err != nil {
		return p, &Rejection{Message: "There is no group for your account on this resource.", Err: err}
	}
	p.groups = union(given.Names, r.Additional)
	return p, nil
}

// union is sorted, each name once.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// without are those of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(other, name) })
}

// wanted is what the account system is asked for.
func (p plan) wanted(a account) backend.Wanted {
	w := backend.Wanted{
		ID: a.ID, Name: a.Name, Primary: p.primary, Groups: p.groups, Tier: p.tier, Keys: p.subject.Keys,
		Person: p.subject.person(), UID: a.UID, GID: a.GID,
	}
	if a.Limited != nil {
		w.Tier = backend.NoShell
	}
	return w
}

// refuse notes a rejection in the audit log.
func (d *Desk) refuse(s Subject, err error) error {
	var rejection *Rejection
	if errors.As(err, &rejection) {
		d.audit(Event{Kind: Refused, ID: s.ID, State: state.Rejected, Reason: rejection.Error()}, By{Who: s.ID})
	}
	return err
}
