package rules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// The oracle knows a small world by heart: which request each entry of a clause holds is written down in tables, and a
// decision is a look into them. It shares no code with what it judges.

var start = time.Unix(1_800_000_000, 0)

// grantTable says which scopes of requests each scope of a clause admits.
func grantTable() map[string][]string {
	below := []string{"storage.read:/vo", "storage.read:/vo/run7", "storage.read:/vo/run7/f"}
	all := append([]string{"storage.read:/else"}, below...)
	return map[string][]string{
		"openid":                {"openid"},
		"compute":               {"compute"},
		"storage.read":          all,
		"storage.read:/":        all,
		"storage.read:/vo":      below,
		"storage.read:/vo/run7": {"storage.read:/vo/run7", "storage.read:/vo/run7/f"},
		"https://p/auth":        {"https://p/auth"},
	}
}

func requestScopes() []string {
	return []string{
		"openid", "compute", "storage.read:/vo", "storage.read:/vo/run7", "storage.read:/vo/run7/f", "storage.read:/else",
		"https://p/auth", "https://p/auth/drive",
	}
}

type client struct{ addr, name, country string }

func clients() []client {
	return []client{
		{"20.0.0.1", "host1.example.org", "DE"},
		{"20.0.0.2", "", "BE"},
		{"20.1.0.1", "x.sub.example.org", "FR"},
		{"192.0.2.7", "evil.example.com", "BE"},
		{"2001:db8::1", "", ""},
	}
}

// hostTable says which clients each entry of hosts holds.
func hostTable() map[string][]int {
	return map[string][]int{
		"20.0.0.0/8": {0, 1, 2}, "20.0.0.0/24": {0, 1}, "20.0.0.1": {0}, "0.0.0.0/0": {0, 1, 2, 3}, "::/0": {4},
		"2001:db8::/32": {4}, "host1.example.org": {0}, "*.example.org": {0, 2}, "*.sub.example.org": {2},
		"example.org": {}, "192.0.2.7": {3}, "*.example.com": {3},
	}
}

func world() World {
	find := func(a netip.Addr) client {
		for _, c := range clients() {
			if c.addr == a.String() {
				return c
			}
		}
		return client{}
	}
	return World{
		Names: func(_ context.Context, a netip.Addr) []string {
			if n := find(a).name; n != "" {
				return []string{strings.ToUpper(n) + "."}
			}
			return nil
		},
		Country: func(a netip.Addr) string { return find(a).country },
	}
}

// atom is one use that can happen in the small world.
type atom struct {
	kind     Kind
	at       int64 // seconds after start
	scope    string
	audience string
	from     int
}

func (a atom) use() Use {
	from := netip.MustParseAddr(clients()[a.from].addr)
	u := Use{Kind: a.kind, Now: start.Add(time.Duration(a.at) * time.Second), Client: from}
	if a.kind == Access {
		u.Scopes, u.Audience = claims.Scopes{a.scope}, []string{a.audience}
	}
	return u
}

func randomAtom(r *rand.Rand) atom {
	return atom{
		Kind(1 + r.IntN(2)), int64(r.IntN(6) * 10), pickOne(r, requestScopes()), pickOne(r, []string{"a", "b", "c"}),
		r.IntN(len(clients())),
	}
}

// says is the oracle: whether a clause allows a use, apart from how often.
func says(c mytoken.Restriction, a atom) bool {
	now := start.Unix() + a.at
	if n := c.NotBefore.Unix(); n != 0 && now < n {
		return false
	}
	if n := c.Expires.Unix(); n != 0 && now > n {
		return false
	}
	if a.kind == Access && c.Scope != "" {
		found := false
		for s := range strings.SplitSeq(c.Scope, " ") {
			found = found || slices.Contains(grantTable()[s], a.scope)
		}
		if !found {
			return false
		}
	}
	if a.kind == Access && len(c.Audience) > 0 && !slices.Contains(c.Audience, a.audience) {
		return false
	}
	if len(c.Hosts) > 0 {
		found := false
		for _, h := range c.Hosts {
			found = found || slices.Contains(hostTable()[h], a.from)
		}
		if !found {
			return false
		}
	}
	country := clients()[a.from].country
	if len(c.GeoIPAllow)+len(c.GeoIPDisallow) > 0 && country == "" {
		return false
	}
	if len(c.GeoIPAllow) > 0 && !slices.Contains(c.GeoIPAllow, country) || slices.Contains(c.GeoIPDisallow, country) {
		return false
	}
	limit := c.UsagesOther
	if a.kind == Access {
		limit = c.UsagesAT
	}
	return limit == nil || *limit > 0
}

func pickOne[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// some returns up to three of from, none in a third of all cases.
func some(r *rand.Rand, from []string) []string {
	var out []string
	for range r.IntN(4) {
		out = appendNew(out, pickOne(r, from))
	}
	return out
}

func keysOf[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out) // so that a seed says everything
	return out
}

func randomLimit(r *rand.Rand) *int64 {
	if r.IntN(3) == 0 {
		return nil
	}
	n := int64(r.IntN(5))
	return &n
}

func randomClause(r *rand.Rand) mytoken.Restriction {
	var c mytoken.Restriction
	if r.IntN(3) == 0 {
		c.NotBefore = mytoken.At(start.Add(time.Duration(r.IntN(6)-2) * 10 * time.Second))
	}
	if r.IntN(2) == 0 {
		c.Expires = mytoken.At(start.Add(time.Duration(1+r.IntN(5)) * 10 * time.Second))
	}
	c.Scope = strings.Join(some(r, keysOf(grantTable())), " ")
	c.Audience = some(r, []string{"a", "b", "c"})
	c.Hosts = some(r, keysOf(hostTable()))
	switch r.IntN(4) {
	case 0:
		c.GeoIPAllow = some(r, []string{"DE", "BE", "FR"})
	case 1:
		c.GeoIPDisallow = some(r, []string{"DE", "BE", "FR"})
	}
	c.UsagesAT, c.UsagesOther = randomLimit(r), randomLimit(r)
	return c
}

// settled makes restrictions that a token can have of random clauses.
func settled(r *rand.Rand, most int) mytoken.Restrictions {
	var out mytoken.Restrictions
	for range 1 + r.IntN(most) {
		rs, err := Settle(mytoken.Restrictions{randomClause(r)}, Setting{Now: start})
		if err == nil {
			out = append(out, rs...)
		}
	}
	return out
}

// near makes restrictions that often lie inside those given: copies with one thing changed.
func near(r *rand.Rand, parent mytoken.Restrictions) mytoken.Restrictions {
	if len(parent) == 0 || r.IntN(4) == 0 {
		return settled(r, 3)
	}
	var out mytoken.Restrictions
	for range 1 + r.IntN(3) {
		c, other := pickOne(r, parent), randomClause(r)
		for range 1 + r.IntN(3) {
			change(r, &c, other)
		}
		rs, err := Settle(mytoken.Restrictions{c}, Setting{Now: start})
		if err == nil {
			out = append(out, rs...)
		}
	}
	return out
}

func change(r *rand.Rand, c *mytoken.Restriction, other mytoken.Restriction) {
	switch r.IntN(9) {
	case 0:
		c.NotBefore = other.NotBefore
	case 1:
		c.Expires = other.Expires
	case 2:
		c.Scope = other.Scope
	case 3:
		c.Audience = other.Audience
	case 4:
		c.Hosts = other.Hosts
	case 5:
		c.GeoIPAllow = other.GeoIPAllow
	case 6:
		c.GeoIPDisallow = other.GeoIPDisallow
	case 7:
		c.UsagesAT = fewer(r, c.UsagesAT, other.UsagesAT)
	case 8:
		c.UsagesOther = fewer(r, c.UsagesOther, other.UsagesOther)
	}
}

func fewer(r *rand.Rand, have, other *int64) *int64 {
	if have == nil || *have == 0 || r.IntN(4) == 0 {
		return other
	}
	n := 1 + r.Int64N(*have)
	return &n
}

// fake is a mytoken as a store would keep it.
type fake struct {
	rs       mytoken.Restrictions
	counters Counters
	parent   *fake
	made     Tightened
}

func newFake(rs mytoken.Restrictions) *fake { return &fake{rs: rs, counters: Counters{}} }

// end ends the mytoken and gives its parent back what it did not use.
func (f *fake) end() error {
	for _, c := range Unused(f.rs, f.made.From, f.made.Charges, f.counters) {
		n, err := f.parent.counters[c.CounterKey].Return(c.Uses)
		if err != nil {
			return fmt.Errorf("give back %d: %w", c.Uses, err)
		}
		f.parent.counters[c.CounterKey] = n
	}
	return nil
}

// try does one use with everything that belongs to it and reports whether it took place.
func (f *fake) try(a atom) (bool, error) {
	cs, err := Candidates(context.Background(), f.rs, a.use(), world())
	if err != nil {
		return false, nil
	}
	c, n, err := Pick(cs, func(k Key) (Counter, error) { return f.counters[CounterKey{k, a.kind}], nil })
	if err != nil || c.Unrestricted() {
		return err == nil, nil
	}
	n, err = n.Commit()
	f.counters[CounterKey{c.Key, a.kind}] = n
	return err == nil, err
}

// child makes a mytoken from f and charges f for it. Without an error and without a child f has nothing to hand on, or
// what was wanted cannot be.
func (f *fake) child(wanted mytoken.Restrictions) (*fake, Tightened, error) {
	t, err := Tighten(Parent{Restrictions: f.rs, Counters: f.counters, Now: start}, wanted)
	if err != nil {
		return nil, t, nil
	}
	for _, c := range t.Charges {
		n, err := f.counters[c.CounterKey].Charge(c.Limit, c.Uses)
		if err != nil {
			return nil, t, fmt.Errorf("charge %d: %w", c.Uses, err)
		}
		f.counters[c.CounterKey] = n
	}
	child := newFake(t.Restrictions)
	child.parent, child.made = f, t
	return child, t, nil
}

// feasible is the oracle of counting: whether all these uses could have been had from the clauses, each from one that
// allows it and none more often than it may be. It tries every way.
func feasible(rs mytoken.Restrictions, uses []atom) bool {
	if len(rs) == 0 {
		return true
	}
	var slots [][]int // uses of a clause of one kind
	type slot struct {
		clause int
		kind   Kind
	}
	index := map[slot]int{}
	for i := range rs {
		for _, k := range []Kind{Access, Other} {
			index[slot{i, k}] = len(slots)
			slots = append(slots, nil)
		}
	}
	var place func(use int, tried []bool) bool
	place = func(use int, tried []bool) bool {
		for i, c := range rs {
			s := index[slot{i, uses[use].kind}]
			if tried[s] || !says(c, uses[use]) {
				continue
			}
			tried[s] = true
			limit := uses[use].kind.Limit(c)
			if limit == nil || int64(len(slots[s])) < *limit {
				slots[s] = append(slots[s], use)
				return true
			}
			for at, other := range slots[s] {
				if place(other, tried) {
					slots[s][at] = use
					return true
				}
			}
		}
		return false
	}
	for use := range uses {
		if !place(use, make([]bool, len(slots))) {
			return false
		}
	}
	return true
}

// distinct leaves out clauses that share their counters with an earlier one.
func distinct(rs mytoken.Restrictions) mytoken.Restrictions {
	var out mytoken.Restrictions
	for _, r := range rs {
		if !slices.ContainsFunc(out, func(o mytoken.Restriction) bool { return KeyOf(o) == KeyOf(r) }) {
			out = append(out, r)
		}
	}
	return out
}

// pairs is how many random cases the property tests look at.
func pairs(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("OIDCBOX_RULES_PAIRS"))
	if err != nil || n < 1 {
		n = 2000
	}
	t.Logf("%d pairs", n)
	return n
}

// each runs fn for n seeds on all processors, and stops at the first error.
func each(t *testing.T, n int, fn func(r *rand.Rand) error) {
	t.Helper()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for seed := w; seed < n; seed += workers {
				err := fn(rand.New(rand.NewPCG(uint64(seed), 5)))
				mu.Lock()
				if err != nil && failed == nil {
					failed = fmt.Errorf("seed %d: %w", seed, err)
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
}
