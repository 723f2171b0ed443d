package rules

import (
	"fmt"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Kind is what a use counts as.
type Kind int

// The kinds of use that clauses count.
const (
	Access Kind = iota + 1 // an access token
	Other                  // anything else that counts
)

func (k Kind) String() string {
	switch k {
	case Access:
		return "AT"
	case Other:
		return "other"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Limit returns how often a clause may be used for k, nil for any number of times.
func (k Kind) Limit(r mytoken.Restriction) *int64 {
	if k == Access {
		return r.UsagesAT
	}
	return r.UsagesOther
}

// Counter is how often one clause of one token was used for one kind: what a row of the store holds, under token, Key
// and Kind. A use is reserved before the provider is called and settled after: committed when it took place, given
// back when the provider was never called, lost when nobody knows (the process died in between). Each step returns the
// counter to store in its place; what is returned with an error is the counter as it was.
//
// Used + Held + Lost + Charged never exceeds the limit of the clause, whatever the order of steps.
type Counter struct {
	Used    int64 // took place
	Held    int64 // reserved, not settled yet
	Lost    int64 // reserved, and it will never be known what became of them
	Charged int64 // handed on to mytokens made from this one
}

// Taken is everything that is no longer there to be used.
func (c Counter) Taken() int64 { return c.Used + c.Held + c.Lost + c.Charged }

// Left returns how many uses there still are of limit. It is never negative; ok is false when there is no limit.
func (c Counter) Left(limit *int64) (n int64, ok bool) {
	if limit == nil {
		return 0, false
	}
	return max(*limit-c.Taken(), 0), true
}

// Reserve takes one use, or fails with ErrUsedUp.
func (c Counter) Reserve(limit *int64) (Counter, error) {
	if n, limited := c.Left(limit); limited && n == 0 {
		return c, ErrUsedUp
	}
	c.Held++
	return c, nil
}

// Commit says that a reserved use took place.
func (c Counter) Commit() (Counter, error) {
	if c.Held < 1 {
		return c, ErrNotHeld
	}
	c.Held--
	c.Used++
	return c, nil
}

// GiveBack says that a reserved use never began: the provider was not called.
func (c Counter) GiveBack() (Counter, error) {
	if c.Held < 1 {
		return c, ErrNotHeld
	}
	c.Held--
	return c, nil
}

// Lose says of n reserved uses that nobody will ever know whether they took place. They stay taken.
func (c Counter) Lose(n int64) (Counter, error) {
	if n < 0 || n > c.Held {
		return c, ErrNotHeld
	}
	c.Held -= n
	c.Lost += n
	return c, nil
}

// Charge hands n uses on to another mytoken, or fails with ErrUsedUp. Where the clause has no limit there is nothing to
// charge, and the counter stays as it is.
func (c Counter) Charge(limit *int64, n int64) (Counter, error) {
	left, limited := c.Left(limit)
	switch {
	case !limited || n == 0:
		return c, nil
	case n < 0 || n > left:
		return c, ErrUsedUp
	}
	c.Charged += n
	return c, nil
}

// Return takes back n uses that were charged: the mytoken they were handed on to has ended without them.
func (c Counter) Return(n int64) (Counter, error) {
	if n < 0 || n > c.Charged {
		return c, ErrNotHeld
	}
	c.Charged -= n
	return c, nil
}

// Unused returns what a mytoken that has ended leaves of the allowances it was made with, for [Counter.Return] of its
// parent: rs, from and charged are what Tighten said when it was made, counters how often it was used since. What it
// was used for, what nobody knows of, and what it handed on itself stays taken.
func Unused(rs mytoken.Restrictions, from []Key, charged []Charge, counters Counters) []Charge {
	left := map[CounterKey]int64{}
	for i, r := range rs[:min(len(rs), len(from))] {
		for _, kind := range []Kind{Access, Other} {
			n, _ := counters.of(r, kind).Left(kind.Limit(r))
			left[CounterKey{from[i], kind}] += n
		}
	}
	var out []Charge
	for _, c := range charged {
		if c.Uses = min(c.Uses, left[c.CounterKey]); c.Uses > 0 {
			out = append(out, c)
		}
	}
	return out
}

// Counters are all counters of one token. What is not in it is zero.
type Counters map[CounterKey]Counter

// CounterKey names a counter among those of a token.
type CounterKey struct {
	Clause Key
	Kind   Kind
}

// of returns the counter of a settled clause.
func (c Counters) of(r mytoken.Restriction, k Kind) Counter {
	if len(c) == 0 {
		return Counter{}
	}
	return c[CounterKey{KeyOf(r), k}]
}

// Annotate returns the clauses with how often each was used, as introspection shows them: only where it was used at
// all.
func Annotate(rs mytoken.Restrictions, counters Counters) mytoken.Restrictions {
	out := make(mytoken.Restrictions, len(rs))
	for i, r := range rs {
		r.UsedAT, r.UsedOther = spent(counters.of(r, Access)), spent(counters.of(r, Other))
		out[i] = r
	}
	return out
}

// spent counts what cannot come back.
func spent(c Counter) *int64 {
	if n := c.Used + c.Lost + c.Charged; n > 0 {
		return &n
	}
	return nil
}
