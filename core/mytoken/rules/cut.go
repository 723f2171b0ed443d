package rules

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Granted is what a provider gave.
type Granted struct {
	// Scopes are those of its answer. nil: the answer names none, so they are as asked (RFC 6749 section 5.1).
	Scopes claims.Scopes
	// Audience is that of the access token. nil: the token is opaque, and nobody can say.
	Audience []string
}

// Cut takes from the clauses of a mytoken that is being made what the provider did not give, so that they promise
// nothing that cannot be had. What was taken away is in lost. A clause that would have no scope or no audience left is
// refused with a *ClausesError: without them it would limit nothing.
func Cut(rs mytoken.Restrictions, g Granted) (out mytoken.Restrictions, lost []Fault, err error) {
	var faults []Fault
	for i, r := range rs {
		c, cut, fault := cutClause(r, g)
		if fault != "" {
			faults = append(faults, Fault{i + 1, fault})
		}
		for _, what := range cut {
			lost = append(lost, Fault{i + 1, what})
		}
		out = append(out, c)
	}
	if len(faults) > 0 {
		return nil, lost, &ClausesError{faults}
	}
	return out, lost, nil
}

func cutClause(r mytoken.Restriction, g Granted) (_ mytoken.Restriction, lost []string, fault string) {
	if r.Scope != "" && g.Scopes != nil {
		asked := claims.ParseScopes(r.Scope)
		got := common(asked, g.Scopes)
		if len(got) == 0 {
			return r, nil, "the provider gives none of scope " + quote(r.Scope)
		}
		for _, s := range asked {
			if !slices.Contains(got, s) {
				lost = append(lost, "scope "+quote(s))
			}
		}
		r.Scope = got.String()
	}
	if len(r.Audience) > 0 && g.Audience != nil {
		var got []string
		for _, a := range r.Audience {
			if slices.Contains(g.Audience, a) {
				got = append(got, a)
			} else {
				lost = append(lost, "audience "+quote(a))
			}
		}
		if len(got) == 0 {
			return r, nil, "the provider gives none of audience " + quote(strings.Join(r.Audience, " "))
		}
		r.Audience = got
	}
	return r, lost, ""
}

// Check compares an access token with what it was asked for with, before it is handed out. A scope or audience that is
// missing is a *WithheldError, one that was not asked for an *ExcessError: the token could do more than it may. Where
// nothing was asked for nothing is compared. protocol are scopes that the login itself adds (openid, offline_access):
// they may be there or not.
func Check(asked Candidate, g Granted, protocol ...string) error {
	var missing WithheldError
	if g.Scopes != nil && len(asked.Scopes) > 0 {
		own := func(s string) bool { return slices.Contains(protocol, s) }
		for _, s := range asked.Scopes {
			if !own(s) && !admitsOne(g.Scopes, s) {
				missing.Scopes = append(missing.Scopes, s)
			}
		}
		for _, s := range g.Scopes {
			if !own(s) && !admitsOne(asked.Scopes, s) {
				return &ExcessError{Scope: s}
			}
		}
	}
	if g.Audience != nil && len(asked.Audience) > 0 {
		for _, a := range asked.Audience {
			if !slices.Contains(g.Audience, a) {
				missing.Audiences = append(missing.Audiences, a)
			}
		}
		for _, a := range g.Audience {
			if !slices.Contains(asked.Audience, a) {
				return &ExcessError{Audience: a}
			}
		}
	}
	if len(missing.Scopes)+len(missing.Audiences) > 0 {
		return &missing
	}
	return nil
}
