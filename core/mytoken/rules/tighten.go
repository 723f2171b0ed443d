package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Parent is what restrictions have to stay inside.
type Parent struct {
	Restrictions mytoken.Restrictions // none: anything goes
	Counters     Counters             // how often the parent was used; none: never
	Now          time.Time
	// Template says that the restrictions are no mytoken's but those the server enforces: there is nothing to charge.
	Template bool
}

// Charge is an allowance that goes from a clause of the parent to the mytoken that is made from it. It has to be
// charged to the parent's counter in the transaction that stores the new mytoken.
type Charge struct {
	CounterKey
	Limit *int64 // of the parent's clause
	Uses  int64
}

// Tightened is what a mytoken made from another may be used for.
type Tightened struct {
	Restrictions mytoken.Restrictions
	// From names for each of Restrictions the clause of the parent that it lies in, and that its uses were taken from. The
	// store keeps it with the mytoken, for Unused. It is empty where the parent has no clauses.
	From    []Key
	Charges []Charge // at most one for each counter
	// Dropped tells of the clauses that were asked for and are not there; Inherited, that the parent's stand in place of
	// all of them. Without a clause asked for nothing is dropped.
	Dropped   []Fault
	Inherited bool
}

// Strict returns nil when everything that was asked for is there, else a *NotSubsetError: what error_on_restrictions
// wants to know.
func (t Tightened) Strict() error {
	if len(t.Dropped) == 0 {
		return nil
	}
	return &NotSubsetError{t.Dropped}
}

// Tighten keeps of the settled restrictions wanted those that lie inside the parent, so that no use is possible that
// the parent could not have had in its place. A clause is kept when one clause of the parent has at least its time,
// scopes, audiences, hosts, countries and uses left; the uses are then taken from that clause. Where no clause is
// kept, or none was wanted, the parent's are inherited with what is left of them.
//
// A wanted clause for which the parent has no time at all can never be used: *ClausesError. ErrNothingLeft is returned
// when the parent has nothing to hand on. No clause in the result means that the parent has none and none was wanted.
func Tighten(p Parent, wanted mytoken.Restrictions) (Tightened, error) {
	if len(p.Restrictions) == 0 {
		return Tightened{Restrictions: wanted}, nil
	}
	pool := newPool(p)
	if faults := noTime(pool, wanted); len(faults) > 0 {
		return Tightened{}, &ClausesError{faults}
	}
	var t Tightened
	for i, w := range wanted {
		from, fault := pool.take(w)
		if fault != "" {
			t.Dropped = append(t.Dropped, Fault{i + 1, fault})
			continue
		}
		t.Restrictions, t.From = append(t.Restrictions, w), append(t.From, from)
	}
	if len(t.Restrictions) == 0 {
		t.Inherited = true
		if t.Restrictions, t.From = pool.takeAll(); len(t.Restrictions) == 0 {
			return Tightened{}, ErrNothingLeft
		}
	}
	t.Charges = pool.charges()
	return t, nil
}

func noTime(p *pool, wanted mytoken.Restrictions) []Fault {
	var faults []Fault
	for i, w := range wanted {
		fault := timeFault(w, p.now)
		if fault == "" && !slices.ContainsFunc(p.clauses, func(c mytoken.Restriction) bool { return overlap(c, w) }) {
			fault = "no time is left for it inside the restrictions it has to stay in"
		}
		if fault != "" {
			faults = append(faults, Fault{i + 1, fault})
		}
	}
	return faults
}

// overlap reports whether there is a second in both clauses.
func overlap(a, b mytoken.Restriction) bool {
	before := func(x, y mytoken.Restriction) bool {
		return !x.Expires.IsZero() && x.Expires.Unix() < y.NotBefore.Unix()
	}
	return !before(a, b) && !before(b, a)
}

// pool is what a parent still has.
type pool struct {
	now      time.Time
	template bool
	clauses  mytoken.Restrictions // those that are not over
	counters map[CounterKey]Counter
	given    map[CounterKey]int64
	limits   map[CounterKey]*int64
	order    []CounterKey
}

func newPool(p Parent) *pool {
	out := &pool{
		now: p.Now, template: p.Template,
		counters: map[CounterKey]Counter{}, given: map[CounterKey]int64{}, limits: map[CounterKey]*int64{},
	}
	seen := map[Key]bool{}
	for _, r := range p.Restrictions {
		k := KeyOf(r)
		if seen[k] || !r.Expires.IsZero() && r.Expires.Unix() < p.Now.Unix() {
			continue
		}
		seen[k] = true
		out.clauses = append(out.clauses, r)
		for _, kind := range []Kind{Access, Other} {
			ck := CounterKey{k, kind}
			out.order = append(out.order, ck)
			out.counters[ck], out.limits[ck] = p.Counters[ck], kind.Limit(r)
		}
	}
	return out
}

// take charges w to the first clause that it lies in and returns that, or says why there is none.
func (p *pool) take(w mytoken.Restriction) (from Key, fault string) {
	reason := "the restrictions it has to stay in are over"
	for i, c := range p.clauses {
		fault := looser(w, c, p.now)
		if fault == "" {
			fault = p.charge(c, w)
		}
		if fault == "" {
			return KeyOf(c), ""
		}
		if i == 0 {
			reason = fault
		}
	}
	if len(p.clauses) > 1 {
		reason = "it lies in none of the clauses it has to stay in; not in the first because " + reason
	}
	return Key{}, reason
}

// charge takes the uses of w from the clause c, all or nothing.
func (p *pool) charge(c, w mytoken.Restriction) string {
	k := KeyOf(c)
	for _, kind := range []Kind{Access, Other} {
		left, limited := p.left(CounterKey{k, kind})
		if n := kind.Limit(w); limited && (n == nil || *n > left) {
			return "usages_" + kind.String() + " is more than what is left"
		}
	}
	for _, kind := range []Kind{Access, Other} {
		if n := kind.Limit(w); n != nil {
			p.give(CounterKey{k, kind}, *n)
		}
	}
	return ""
}

func (p *pool) left(k CounterKey) (int64, bool) {
	n, limited := p.counters[k].Left(p.limits[k])
	return n - p.given[k], limited
}

func (p *pool) give(k CounterKey, n int64) {
	if p.limits[k] != nil {
		p.given[k] += n
	}
}

// takeAll hands on everything that is left, clause by clause. A clause with no use left of either kind is left out, and
// one that comes to say the same as another: they would share their counters.
func (p *pool) takeAll() (out mytoken.Restrictions, from []Key) {
	seen := map[Key]bool{}
	for _, c := range p.clauses {
		k := KeyOf(c)
		at, atLimited := p.left(CounterKey{k, Access})
		other, otherLimited := p.left(CounterKey{k, Other})
		if atLimited && otherLimited && at == 0 && other == 0 {
			continue
		}
		r := c
		r.UsedAT, r.UsedOther = nil, nil
		if atLimited {
			r.UsagesAT = &at
		}
		if otherLimited {
			r.UsagesOther = &other
		}
		if seen[KeyOf(r)] {
			continue
		}
		seen[KeyOf(r)] = true
		p.give(CounterKey{k, Access}, at)
		p.give(CounterKey{k, Other}, other)
		out, from = append(out, r), append(from, k)
	}
	return out, from
}

func (p *pool) charges() []Charge {
	if p.template {
		return nil
	}
	var out []Charge
	for _, k := range p.order {
		if n := p.given[k]; n > 0 {
			out = append(out, Charge{k, p.limits[k], n})
		}
	}
	return out
}

// looser says in what the clause w goes beyond the clause p apart from uses, "" when in nothing. Only times from now on
// matter.
func looser(w, p mytoken.Restriction, now time.Time) string {
	start := max(w.NotBefore.Unix(), now.Unix())
	switch {
	case !p.NotBefore.IsZero() && start < p.NotBefore.Unix():
		return "nbf is earlier"
	case !p.Expires.IsZero() && (w.Expires.IsZero() || w.Expires.Unix() > p.Expires.Unix()):
		return "exp is later"
	case p.Scope != "" && (w.Scope == "" || !admitsAll(strings.Fields(p.Scope), strings.Fields(w.Scope))):
		return "scope is wider"
	case wider(w.Audience, p.Audience):
		return "audience is wider"
	case len(p.Hosts) > 0 && !inside(w.Hosts, p.Hosts):
		return "hosts are more"
	case wider(w.GeoIPAllow, p.GeoIPAllow):
		return "geoip_allow has more"
	case slices.ContainsFunc(p.GeoIPDisallow, func(c string) bool { return mayCountry(w, c) }):
		return "geoip_disallow has less"
	}
	return ""
}

// mayCountry reports whether the clause can be used from a country.
func mayCountry(r mytoken.Restriction, code string) bool {
	return !slices.Contains(r.GeoIPDisallow, code) && (len(r.GeoIPAllow) == 0 || slices.Contains(r.GeoIPAllow, code))
}

// wider reports whether the list w, empty for everything, has more than p.
func wider(w, p []string) bool { return len(p) > 0 && (len(w) == 0 || !subset(w, p)) }

func subset(small, big []string) bool {
	return !slices.ContainsFunc(small, func(s string) bool { return !slices.Contains(big, s) })
}

// inside reports whether every entry of hosts w lies in one of p. None is everywhere.
func inside(w, p []string) bool {
	outer := parseHosts(p)
	for _, e := range w {
		h, ok := parseHost(e)
		if !ok || !slices.ContainsFunc(outer, func(o host) bool { return o.contains(h) }) {
			return false
		}
	}
	return len(w) > 0
}

// LimitLifetime keeps every clause from lasting longer than most after now: exp is lowered, and set where there is
// none; where there is no clause there comes to be one. lowered says that an end that was asked for is another one
// now: with error_on_restrictions the answer is ErrLifetime. A clause that would begin after its end is refused:
// *ClausesError. most 0: no limit.
func LimitLifetime(rs mytoken.Restrictions, now time.Time, most time.Duration) (
	out mytoken.Restrictions, lowered bool, err error,
) {
	if most <= 0 {
		return rs, false, nil
	}
	end := mytoken.At(now.Add(most))
	if len(rs) == 0 {
		return mytoken.Restrictions{{Expires: end}}, false, nil
	}
	var faults []Fault
	for i, r := range rs {
		if r.Expires.IsZero() || r.Expires.Unix() > end.Unix() {
			lowered = lowered || !r.Expires.IsZero()
			r.Expires = end
		}
		if fault := timeFault(r, now); fault != "" {
			faults = append(faults, Fault{i + 1, fault + "; a mytoken may last until " + end.String()})
		}
		out = append(out, r)
	}
	if len(faults) > 0 {
		return nil, lowered, &ClausesError{faults}
	}
	return out, lowered, nil
}

// Ends returns when the last clause is over: the exp of the mytoken. It is zero when there is no clause or one has no
// end.
func Ends(rs mytoken.Restrictions) time.Time {
	var last int64
	for _, r := range rs {
		if r.Expires.IsZero() {
			return time.Time{}
		}
		last = max(last, r.Expires.Unix())
	}
	if last == 0 {
		return time.Time{}
	}
	return time.Unix(last, 0)
}

// Begins returns when the first clause begins, and now where one has begun: the nbf of a mytoken issued now.
func Begins(rs mytoken.Restrictions, now time.Time) time.Time {
	var first int64
	for i, r := range rs {
		n := r.NotBefore.Unix()
		if n <= now.Unix() {
			return now
		}
		if i == 0 || n < first {
			first = n
		}
	}
	if first == 0 {
		return now
	}
	return time.Unix(first, 0)
}
