package rules

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

func TestScopesAndAudiences(t *testing.T) {
	// want is what the provider is asked for, or why it is not.
	for _, tt := range []struct{ name, clause, scope, audience, want string }{
		{"as_asked", `{"scope":"openid profile"}`, "openid", "", "openid|"},
		{"all_of_the_clause", `{"scope":"openid profile","audience":["x","y"]}`, "", "", "openid profile|x y"},
		{"audience_is_always_sent", `{"audience":["x"]}`, "openid", "", "openid|x"},
		{"one_of_two_audiences", `{"audience":["x","y"]}`, "", "y", "|y"},
		{"clause_without_either", `{"usages_AT":1}`, "openid", "z", "openid|z"},
		{"other_scope", `{"scope":"openid"}`, "openid email", "", `not for scope "email"`},
		{"other_audience", `{"audience":["x"]}`, "", "x z", `not for audience "z"`},
		{"below_the_path", `{"scope":"storage.read:/vo"}`, "storage.read:/vo/run7", "", "storage.read:/vo/run7|"},
		{"beside_the_path", `{"scope":"storage.read:/vo"}`, "storage.read:/vox", "", "not for scope"},
		{"above_the_path", `{"scope":"storage.read:/vo"}`, "storage.read:/", "", "not for scope"},
		{"climbing_out", `{"scope":"storage.read:/vo"}`, "storage.read:/vo/../else", "", "not for scope"},
		{"climbing_out_hidden", `{"scope":"storage.read:/vo"}`, "storage.read:/vo/%252e%252e/else", "", "not for scope"},
		{"other_operation", `{"scope":"storage.read:/vo"}`, "storage.modify:/vo", "", "not for scope"},
		{"bare_admits_a_path", `{"scope":"compute storage.read"}`, "storage.read:/vo/run7", "", "storage.read:/vo/run7|"},
		{"bare_is_not_asked_for", `{"scope":"compute storage.read"}`, "storage.read", "", "has to name a path for scope storage.read"},
		{"bare_of_the_clause", `{"scope":"compute storage.read"}`, "", "", "has to name a path for scope storage.read"},
		{"beside_the_bare_one", `{"scope":"compute storage.read"}`, "compute", "", "compute|"},
		{"bare_of_another_name", `{"scope":"storage.read"}`, "storage.readall:/vo", "", "not for scope"},
		{"scitokens", `{"scope":"read:/home"}`, "read:/home/u1", "", "read:/home/u1|"},
		{"scitokens_bare", `{"scope":"read"}`, "read:/home/u1", "", "read:/home/u1|"},
		{"url_is_no_path", `{"scope":"https://p/auth"}`, "https://p/auth/drive", "", "not for scope"},
		{"case_matters", `{"scope":"openid"}`, "OpenID", "", "not for scope"},
		{"file_of_a_directory", `{"scope":"storage.read:/vo/"}`, "storage.read:/vo", "", "not for scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := Use{Kind: Access, Now: start, Scopes: claims.ParseScopes(tt.scope), Audience: strings.Fields(tt.audience)}
			cs, err := Candidates(t.Context(), settle1(t, tt.clause), u, World{})
			if err != nil {
				if !errors.Is(err, ErrRestricted) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if got := cs[0].Scopes.String() + "|" + strings.Join(cs[0].Audience, " "); got != tt.want {
				t.Errorf("asks for %s, want %s", got, tt.want)
			}
		})
	}
}

func TestUnrestricted(t *testing.T) {
	u := Use{Kind: Access, Now: start, Scopes: claims.Scopes{"openid"}, Audience: []string{"x"}}
	cs, err := Candidates(t.Context(), nil, u, World{})
	if err != nil || len(cs) != 1 {
		t.Fatalf("%+v, %v", cs, err)
	}
	c, _, err := Pick(cs, nil)
	if err != nil || !c.Unrestricted() || c.Scopes.String() != "openid" || c.Audience[0] != "x" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Candidates(t.Context(), nil, Use{Now: start}, World{}); !errors.Is(err, ErrRestricted) {
		t.Errorf("a use of no kind: %v", err)
	}
}

func TestTimesCountToTheSecond(t *testing.T) {
	rs := settle1(t, `{"nbf":1800000010,"exp":1800000020}`)
	for at, want := range map[int64]bool{9: false, 10: true, 20: true, 21: false} {
		now := start.Add(time.Duration(at)*time.Second + 999*time.Millisecond)
		_, err := Candidates(t.Context(), rs, Use{Kind: Other, Now: now}, World{})
		if (err == nil) != want {
			t.Errorf("second %d: %v", at, err)
		}
	}
}

// TestExampleJourney is the life of a job with the published example.
func TestExampleJourney(t *testing.T) {
	before := time.Unix(1634000000, 0)
	rs, err := Settle(parse(t, exchanged()), Setting{Now: before})
	if err != nil {
		t.Fatal(err)
	}
	be, de := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")
	w := World{Country: func(a netip.Addr) string {
		if a == be {
			return "BE"
		}
		return "DE"
	}}
	f := newFake(rs)
	for _, s := range []struct {
		at    int64
		from  netip.Addr
		scope string
		want  string // clause, or why not
	}{
		{1634299999, be, "compute", "clause 1: not before"},
		{1634300500, de, "compute", `clause 1: not from country "DE"`},
		{1634300500, be, "compute", "0"},
		{1634300500, be, "storage.read:/data/in", "0"},
		{1634300500, be, "compute", "clause 1: used as often as allowed"},
		{1634350000, be, "compute", "clause 1: not after"},
		{1634400500, de, "storage.read:/vo/run7", "1"},
		{1634400500, de, "storage.read:/else", `clause 2: not for scope "storage.read:/else"`},
		{1634500500, de, "compute", `clause 3: not for scope "compute"`},
		{1634500500, de, "storage.modify:/vo/results/1", "2"},
		{1634500500, de, "storage.modify:/vo/results/2", "clause 3: used as often"},
	} {
		u := Use{Kind: Access, Now: time.Unix(s.at, 0), Client: s.from, Scopes: claims.Scopes{s.scope}}
		got := ""
		cs, err := Candidates(t.Context(), rs, u, w)
		var c Candidate
		var n Counter
		if err == nil {
			c, n, err = Pick(cs, func(k Key) (Counter, error) { return f.counters[CounterKey{k, Access}], nil })
		}
		if err != nil {
			got = err.Error()
		} else {
			got = string(rune('0' + c.Clause))
			if n, err = n.Commit(); err != nil {
				t.Fatal(err)
			}
			f.counters[CounterKey{c.Key, Access}] = n
		}
		if !strings.Contains(got, s.want) {
			t.Errorf("%d %s: %s, want %s", s.at, s.scope, got, s.want)
		}
	}
	if _, err := Candidates(t.Context(), rs, Use{Kind: Other, Now: time.Unix(1634500500, 0), Client: de}, w); err == nil {
		t.Error("the last clause allows no other use")
	}
}

func TestPickTakesTheFirstWithAUseLeft(t *testing.T) {
	rs := settle1(t, `[{"scope":"a b","usages_AT":1},{"scope":"a","usages_AT":1},{"scope":"b"}]`)
	u := Use{Kind: Access, Now: start, Scopes: claims.Scopes{"a"}}
	cs, err := Candidates(t.Context(), rs, u, World{})
	if err != nil {
		t.Fatal(err)
	}
	counters := Counters{}
	read := func(k Key) (Counter, error) { return counters[CounterKey{k, Access}], nil }
	for _, want := range []int{0, 1} {
		c, n, err := Pick(cs, read)
		if err != nil || c.Clause != want || n.Held != 1 {
			t.Fatalf("%+v, %+v, %v", c, n, err)
		}
		counters[CounterKey{c.Key, Access}] = n // held, and not settled: it is taken all the same
	}
	_, _, err = Pick(cs, read)
	var why *RestrictedError
	if !errors.As(err, &why) || len(why.Faults) != 2 {
		t.Errorf("%v", err)
	}
	broken := errors.New("the store is broken")
	if _, _, err := Pick(cs, func(Key) (Counter, error) { return Counter{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestWhereARequestComesFrom(t *testing.T) {
	w := World{
		Home:    "CH",
		Country: func(a netip.Addr) string { return map[string]string{"198.51.100.1": "be"}[a.String()] },
	}
	for _, tt := range []struct {
		name, clause, addr string
		want               bool
	}{
		{"in_the_country", `{"geoip_allow":["BE"]}`, "198.51.100.1", true},
		{"ipv4_inside_ipv6", `{"geoip_allow":["BE"]}`, "::ffff:198.51.100.1", true},
		{"country_not_known", `{"geoip_allow":["BE"]}`, "203.0.113.1", false},
		{"country_not_known_and_forbidden_ones", `{"geoip_disallow":["BE"]}`, "203.0.113.1", false},
		{"forbidden_country", `{"geoip_disallow":["BE"]}`, "198.51.100.1", false},
		{"private_address_is_at_home", `{"geoip_allow":["CH"]}`, "10.0.0.1", true},
		{"loopback_is_at_home", `{"geoip_allow":["CH"]}`, "::1", true},
		{"private_address_is_not_elsewhere", `{"geoip_allow":["BE"]}`, "192.168.1.1", false},
		{"network", `{"hosts":["198.51.100.0/24"]}`, "198.51.100.1", true},
		{"network_inside_ipv6", `{"hosts":["198.51.100.0/24"]}`, "::ffff:198.51.100.1", true},
		{"all_of_ipv6", `{"hosts":["::/0"]}`, "198.51.100.1", false},
		{"zone", `{"hosts":["fe80::1"]}`, "fe80::1%eth0", true},
		{"name_without_resolver", `{"hosts":["host1.example.org"]}`, "198.51.100.1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := Use{Kind: Other, Now: start, Client: netip.MustParseAddr(tt.addr)}
			_, err := Candidates(t.Context(), settle1(t, tt.clause), u, w)
			if (err == nil) != tt.want {
				t.Error(err)
			}
		})
	}
	t.Run("no_address_at_all", func(t *testing.T) {
		for _, clause := range []string{`{"hosts":["0.0.0.0/0","::/0","*.org"]}`, `{"geoip_disallow":["BE"]}`} {
			if _, err := Candidates(t.Context(), settle1(t, clause), Use{Kind: Other, Now: start}, w); err == nil {
				t.Errorf("%s lets in a request from nowhere", clause)
			}
		}
	})
}

// TestNamesAreAskedForOnceAndLast: an address that a clause names needs no resolver.
func TestNamesAreAskedForOnceAndLast(t *testing.T) {
	asked := 0
	w := World{Names: func(context.Context, netip.Addr) []string { asked++; return []string{"a.example.org"} }}
	u := Use{Kind: Other, Now: start, Client: netip.MustParseAddr("198.51.100.1")}
	rs := settle1(t, `[{"hosts":["*.example.org","198.51.100.1"]},{"exp":1800000001,"hosts":["b.org"],"usages_other":0}]`)
	if _, err := Candidates(t.Context(), rs, u, w); err != nil || asked != 0 {
		t.Errorf("%v, %d", err, asked)
	}
	rs = settle1(t, `[{"hosts":["b.example.org"]},{"hosts":["c.example.org"]},{"hosts":["*.example.org"]}]`)
	if cs, err := Candidates(t.Context(), rs, u, w); err != nil || asked != 1 || cs[0].Clause != 2 {
		t.Errorf("%+v %v, %d", cs, err, asked)
	}
}

type resolver struct {
	names map[string][]string
	addrs map[string][]netip.Addr
}

func (r resolver) LookupAddr(_ context.Context, a string) ([]string, error) {
	return r.names[a], nil
}

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := r.addrs[host]; ok {
		return a, nil
	}
	return nil, errors.New("no such host")
}

// TestConfirmed: whoever has an address says what it is called, and may call it anything.
func TestConfirmed(t *testing.T) {
	a := netip.MustParseAddr("198.51.100.1")
	r := resolver{
		names: map[string][]string{a.String(): {
			"Job.Example.org.", "login.victim.org.", "gone.example.org.", "198.51.100.1", "x y.",
		}},
		addrs: map[string][]netip.Addr{
			"Job.Example.org.":  {netip.MustParseAddr("::ffff:198.51.100.1")},
			"login.victim.org.": {netip.MustParseAddr("192.0.2.1")},
			"198.51.100.1":      {a}, "x y.": {a},
		},
	}
	if got := Confirmed(r)(t.Context(), a); !slices.Equal(got, []string{"job.example.org"}) {
		t.Errorf("%q", got)
	}
	many := resolver{names: map[string][]string{}, addrs: map[string][]netip.Addr{}}
	for i := range 100 {
		n := string(rune('a'+i%26)) + strings.Repeat("x", i) + ".org."
		many.names[a.String()] = append(many.names[a.String()], n)
		many.addrs[n] = []netip.Addr{a}
	}
	if got := Confirmed(many)(t.Context(), a); len(got) > maxNames {
		t.Errorf("%d names were looked up", len(got))
	}
}

// TestClausesThatCannotBeKeptTo: what was not settled allows nothing.
func TestClausesThatCannotBeKeptTo(t *testing.T) {
	for _, s := range []string{`{"exp":"+1d"}`, `{"include":["1d"]}`, `{"geoip_alow":["BE"]}`} {
		_, err := Candidates(t.Context(), parse(t, s), Use{Kind: Other, Now: start}, World{})
		if !errors.Is(err, ErrRestricted) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := Candidates(t.Context(), mytoken.Restrictions{{}}, Use{Kind: Other, Now: start}, World{}); err != nil {
		t.Errorf("an empty clause limits nothing: %v", err)
	}
}
