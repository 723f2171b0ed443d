package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestDecisionsAreThoseOfTheOracle compares every clause of random restrictions on random uses.
func TestDecisionsAreThoseOfTheOracle(t *testing.T) {
	var yes, no atomic.Int64
	each(t, pairs(t), func(r *rand.Rand) error {
		rs := settled(r, 3)
		if len(rs) == 0 {
			return nil
		}
		a := randomAtom(r)
		allowed := map[int]bool{}
		cs, err := Candidates(context.Background(), rs, a.use(), world())
		if err != nil && !errors.Is(err, ErrRestricted) {
			return err
		}
		for _, c := range cs {
			allowed[c.Clause] = true
		}
		for i, c := range rs {
			if got, want := allowed[i], says(c, a); got != want {
				return fmt.Errorf("%+v on clause %s: %v, want %v (%v)", a, text(c), got, want, err)
			}
		}
		if len(cs) > 0 {
			yes.Add(1)
		} else {
			no.Add(1)
		}
		return nil
	})
	if yes.Load() < 50 || no.Load() < 50 {
		t.Errorf("the cases say little: %d times yes, %d times no", yes.Load(), no.Load())
	}
}

// TestSubtokenNeverExceedsItsParent uses random families of three generations in random order, with as much as they
// give, and asks the oracle whether the first mytoken alone could have had all that.
func TestSubtokenNeverExceedsItsParent(t *testing.T) {
	var kept, inherited, served atomic.Int64
	most := pairs(t)
	each(t, most, func(r *rand.Rand) error {
		parent := settled(r, 3)
		if len(parent) == 0 {
			return nil
		}
		f := family{tokens: []*fake{newFake(parent)}}
		f.use(r, r.IntN(4))
		for range 1 + r.IntN(3) {
			from := pickOne(r, f.tokens)
			var wanted mytoken.Restrictions
			if r.IntN(5) > 0 {
				wanted = near(r, from.rs)
			}
			child, tight, err := from.child(wanted)
			if err != nil {
				return fmt.Errorf("%s from %s: %w", text(wanted), text(from.rs), err)
			}
			if child == nil {
				continue
			}
			if len(child.rs) == 0 {
				return fmt.Errorf("%s from %s is unrestricted", text(wanted), text(from.rs))
			}
			if tight.Inherited {
				inherited.Add(1)
			} else {
				kept.Add(1)
			}
			f.tokens = append(f.tokens, child)
			f.use(r, r.IntN(6))
			if r.IntN(4) == 0 {
				f.end(r)
			}
		}
		f.use(r, 12)
		served.Add(int64(len(f.served)))
		if f.err != nil {
			return f.err
		}
		if !feasible(distinct(parent), f.served) {
			return fmt.Errorf("parent %s, and together its family had %+v", text(parent), f.served)
		}
		return nil
	})
	if n := int64(most); kept.Load() < n/10 || inherited.Load() < n/10 || served.Load() < n {
		t.Errorf("the cases say little: %d kept, %d inherited, %d uses", kept.Load(), inherited.Load(), served.Load())
	}
}

// family are mytokens of one line and what they were used for.
type family struct {
	tokens []*fake
	served []atom
	err    error
}

// end ends one of the family, not the first. Those made from it go on.
func (f *family) end(r *rand.Rand) {
	i := 1 + r.IntN(len(f.tokens)-1)
	if err := f.tokens[i].end(); err != nil {
		f.err = err
	}
	f.tokens = slices.Delete(f.tokens, i, i+1)
}

func (f *family) use(r *rand.Rand, times int) {
	for range times {
		a := randomAtom(r)
		ok, err := pickOne(r, f.tokens).try(a)
		if err != nil {
			f.err = err
		}
		if ok {
			f.served = append(f.served, a)
		}
	}
}

// TestKeptClausesLieInTheParent looks at every use of the small world, not at some: whatever a child allows one clause
// of the parent allows too.
func TestKeptClausesLieInTheParent(t *testing.T) {
	var compared atomic.Int64
	each(t, pairs(t)/20, func(r *rand.Rand) error {
		parent := settled(r, 2)
		child, _, err := newFake(parent).child(near(r, parent))
		if err != nil || child == nil || len(parent) == 0 {
			return err
		}
		return allAtoms(func(a atom) error {
			compared.Add(1)
			if anySays(child.rs, a) && !anySays(parent, a) {
				return fmt.Errorf("%+v: child %s, parent %s", a, text(child.rs), text(parent))
			}
			return nil
		})
	})
	if compared.Load() < 10000 {
		t.Error("nearly nothing was compared")
	}
}

func anySays(rs mytoken.Restrictions, a atom) bool {
	for _, c := range rs {
		if says(c, a) {
			return true
		}
	}
	return false
}

func allAtoms(fn func(atom) error) error {
	for _, kind := range []Kind{Access, Other} {
		for at := int64(0); at <= 60; at += 10 {
			for _, scope := range requestScopes() {
				for _, audience := range []string{"a", "b", "c"} {
					for from := range clients() {
						if err := fn(atom{kind, at, scope, audience, from}); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// TestContainedIsKept is the other direction: a clause that is one of the parent's with something taken away is kept.
func TestContainedIsKept(t *testing.T) {
	each(t, pairs(t), func(r *rand.Rand) error {
		parent := settled(r, 2)
		if len(parent) == 0 {
			return nil
		}
		w := pickOne(r, parent)
		if len(w.Audience) > 1 {
			w.Audience = w.Audience[:1]
		}
		if w.Expires.IsZero() {
			w.Expires = mytoken.At(start.AddDate(100, 0, 0))
		}
		wanted, err := Settle(mytoken.Restrictions{w}, Setting{Now: start})
		if err != nil {
			return err
		}
		got, err := Tighten(Parent{Restrictions: parent, Now: start}, wanted)
		if err != nil {
			return err
		}
		if err := got.Strict(); err != nil || got.Inherited {
			return fmt.Errorf("%s from %s: %w", text(wanted), text(parent), err)
		}
		return nil
	})
}

// TestCounterNeverExceedsItsLimit takes random steps.
func TestCounterNeverExceedsItsLimit(t *testing.T) {
	each(t, pairs(t), func(r *rand.Rand) error {
		limit := int64(r.IntN(6))
		var c Counter
		for range 40 {
			before := c
			n := int64(r.IntN(4) - 1)
			var err error
			switch r.IntN(6) {
			case 0, 1:
				c, err = c.Reserve(&limit)
			case 2:
				c, err = c.Commit()
			case 3:
				c, err = c.GiveBack()
			case 4:
				c, err = c.Charge(&limit, n)
			default:
				if n%2 == 0 {
					c, err = c.Lose(n)
				} else {
					c, err = c.Return(n)
				}
			}
			if c.Taken() > limit || c.Used < 0 || c.Held < 0 || c.Lost < 0 || c.Charged < 0 {
				return fmt.Errorf("limit %d: %+v", limit, c)
			}
			if err != nil && c != before {
				return fmt.Errorf("%w changed %+v to %+v", err, before, c)
			}
			if left, _ := c.Left(&limit); left != limit-c.Taken() {
				return fmt.Errorf("limit %d: %+v has %d left", limit, c, left)
			}
		}
		return nil
	})
}
