package rules

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Use is what somebody wants to do with a mytoken.
type Use struct {
	Kind   Kind
	Now    time.Time
	Client netip.Addr
	// Scopes and Audience are what an access token is asked for with; none is what the clause has.
	Scopes   claims.Scopes
	Audience []string
}

// World is what is known of addresses. Its functions are called only for clauses that look at them, once per use, and
// end when their context does.
type World struct {
	// Names returns the names of an address. [Confirmed] makes one of a resolver; a name that the owner of an address
	// could have made up must not be among them. nil: no address has a name.
	Names func(context.Context, netip.Addr) []string
	// Country returns the country of an address (ISO 3166, two letters), "" when it is not known. nil: none is.
	Country func(netip.Addr) string
	// Home is the country of the server itself: of private, link-local and loopback addresses. "": not known.
	Home string
}

// Candidate is a clause that allows a use as far as its counters do.
type Candidate struct {
	Clause int // its place among the restrictions, 0 is the first; -1: the mytoken has none
	Key    Key
	Limit  *int64 // of uses of this kind, nil: none
	// Scopes and Audience are what to ask the provider for: what the use asks for, else what the clause has. Empty: the
	// mytoken does not limit it.
	Scopes   claims.Scopes
	Audience []string
}

// Unrestricted reports whether the mytoken has no clauses: nothing is counted.
func (c Candidate) Unrestricted() bool { return c.Clause < 0 }

// Candidates returns the clauses that allow a use apart from their counters, in their order. The error is a
// *RestrictedError when there is none: it says of each clause why. rs have to be settled, as those of a token are.
func Candidates(ctx context.Context, rs mytoken.Restrictions, u Use, w World) ([]Candidate, error) {
	if u.Kind != Access && u.Kind != Other {
		return nil, &RestrictedError{[]Fault{{0, "a use has to be of a kind that is counted"}}}
	}
	if len(rs) == 0 {
		return []Candidate{{Clause: -1, Scopes: u.Scopes, Audience: u.Audience}}, nil
	}
	j := judge{use: u, from: origin{addr: plainAddr(u.Client), world: w}}
	var (
		out    []Candidate
		faults []Fault
	)
	for i, r := range rs {
		if fault := j.fault(ctx, r); fault != "" {
			faults = append(faults, Fault{i + 1, fault})
			continue
		}
		c := Candidate{Clause: i, Key: KeyOf(r), Limit: u.Kind.Limit(r), Scopes: u.Scopes, Audience: u.Audience}
		if u.Kind == Access {
			c.fill(r)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, &RestrictedError{faults}
	}
	return out, nil
}

// fill takes from the clause what the use does not ask for.
func (c *Candidate) fill(r mytoken.Restriction) {
	if len(c.Scopes) == 0 {
		c.Scopes = claims.ParseScopes(r.Scope)
	}
	if len(c.Audience) == 0 {
		c.Audience = slices.Clone(r.Audience)
	}
}

// Pick returns the first candidate that has a use left, and the counter of its clause with that use reserved. It
// belongs into the transaction that stores the counter: counter returns what is stored now. The error is a
// *RestrictedError. Where the candidate is unrestricted there is nothing to store.
func Pick(cs []Candidate, counter func(Key) (Counter, error)) (Candidate, Counter, error) {
	var faults []Fault
	for _, c := range cs {
		if c.Unrestricted() {
			return c, Counter{}, nil
		}
		n, err := counter(c.Key)
		if err != nil {
			return Candidate{}, Counter{}, err
		}
		if n, err = n.Reserve(c.Limit); err == nil {
			return c, n, nil
		}
		faults = append(faults, Fault{c.Clause + 1, err.Error()})
	}
	return Candidate{}, Counter{}, &RestrictedError{faults}
}

// judge looks at the clauses for one use.
type judge struct {
	use  Use
	from origin
}

// fault says why r does not allow the use, "" when it does. What is cheap comes first, and names of addresses last.
func (j *judge) fault(ctx context.Context, r mytoken.Restriction) string {
	now := j.use.Now.Unix()
	switch {
	case r.NotBefore.Text() != "" || r.Expires.Text() != "" || len(r.Include) > 0 || len(r.Unknown()) > 0:
		return "it says something that this server cannot keep to"
	case !r.NotBefore.IsZero() && now < r.NotBefore.Unix():
		return "not before " + r.NotBefore.String()
	case !r.Expires.IsZero() && now > r.Expires.Unix():
		return "not after " + r.Expires.String()
	}
	if limit := j.use.Kind.Limit(r); limit != nil && *limit <= 0 {
		return "not for this kind of use"
	}
	if j.use.Kind == Access {
		if fault := j.askedFault(r); fault != "" {
			return fault
		}
	}
	if fault := j.from.countryFault(r); fault != "" {
		return fault
	}
	return j.from.hostFault(ctx, r)
}

// askedFault looks at scopes and audiences.
func (j *judge) askedFault(r mytoken.Restriction) string {
	have, asked := strings.Fields(r.Scope), []string(j.use.Scopes)
	for _, s := range asked {
		if len(have) > 0 && !admitsOne(have, s) {
			return "not for scope " + quote(s)
		}
	}
	if len(asked) == 0 {
		asked = have
	}
	if fault := bareFault(asked); fault != "" {
		return fault
	}
	for _, a := range j.use.Audience {
		if len(r.Audience) > 0 && !slices.Contains(r.Audience, a) {
			return "not for audience " + quote(a)
		}
	}
	return ""
}

// bareFault refuses to ask a provider for a storage scope without a path: the request has to name one.
func bareFault(scopes []string) string {
	for _, s := range scopes {
		if bare(s) {
			return "the request has to name a path for scope " + s
		}
	}
	return ""
}
