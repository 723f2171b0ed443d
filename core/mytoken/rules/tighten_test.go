package rules

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func TestTighten(t *testing.T) {
	for _, tt := range []struct{ name, parent, wanted, want, dropped string }{
		{"parent_unrestricted", `[]`, `{"usages_AT":1}`, `[{"usages_AT":1}]`, ""},
		{"nothing_wanted", `{"exp":1800000100}`, `[]`, `[{"exp":1800000100}]`, ""},
		{"as_tight", `{"exp":1800000100,"scope":"a b"}`, `{"exp":1800000100,"scope":"b"}`, `[{"exp":1800000100,"scope":"b"}]`, ""},
		{"exp_later", `{"exp":1800000100}`, `{"exp":1800000101}`, `[{"exp":1800000100}]`, "exp is later"},
		{"exp_missing", `{"exp":1800000100}`, `{"usages_AT":1}`, `[{"exp":1800000100}]`, "exp is later"},
		{"nbf_earlier", `{"nbf":1800000100}`, `{"nbf":1800000099}`, `[{"nbf":1800000100}]`, "nbf is earlier"},
		{"nbf_missing", `{"nbf":1800000100}`, `{"usages_AT":1}`, `[{"nbf":1800000100}]`, "nbf is earlier"},
		{"nbf_of_the_parent_has_come", `{"nbf":1799999999}`, `{"usages_AT":1}`, `[{"usages_AT":1}]`, ""},
		{"scope_missing", `{"scope":"a"}`, `{"usages_AT":1}`, `[{"scope":"a"}]`, "scope is wider"},
		{"scope_below", `{"scope":"storage.read:/vo"}`, `{"scope":"storage.read:/vo/x"}`, `[{"scope":"storage.read:/vo/x"}]`, ""},
		{"scope_of_bare", `{"scope":"storage.read"}`, `{"scope":"storage.read:/vo"}`, `[{"scope":"storage.read:/vo"}]`, ""},
		{"bare_of_scope", `{"scope":"storage.read:/"}`, `{"scope":"storage.read"}`, `[{"scope":"storage.read:/"}]`, "scope is wider"},
		{"audience", `{"audience":["x","y"]}`, `{"audience":["x","z"]}`, `[{"audience":["x","y"]}]`, "audience is wider"},
		{"address_in_network", `{"hosts":["10.0.0.0/8"]}`, `{"hosts":["10.1.2.3"]}`, `[{"hosts":["10.1.2.3"]}]`, ""},
		{"network_in_network", `{"hosts":["10.0.0.0/8"]}`, `{"hosts":["10.1.0.0/16"]}`, `[{"hosts":["10.1.0.0/16"]}]`, ""},
		{"network_around_network", `{"hosts":["10.0.0.0/16"]}`, `{"hosts":["10.0.0.0/8"]}`, `[{"hosts":["10.0.0.0/16"]}]`, "hosts are more"},
		{"one_host_too_many", `{"hosts":["10.0.0.0/8"]}`, `{"hosts":["10.0.0.1","h.org"]}`, `[{"hosts":["10.0.0.0/8"]}]`, "hosts are more"},
		{"name_below", `{"hosts":["*.a.org"]}`, `{"hosts":["x.a.org","*.b.a.org"]}`, `[{"hosts":["x.a.org","*.b.a.org"]}]`, ""},
		{"all_below_for_one_name", `{"hosts":["x.a.org"]}`, `{"hosts":["*.a.org"]}`, `[{"hosts":["x.a.org"]}]`, "hosts are more"},
		{"ending_of_a_name", `{"hosts":["*.a.org"]}`, `{"hosts":["xa.org"]}`, `[{"hosts":["*.a.org"]}]`, "hosts are more"},
		{"countries", `{"geoip_allow":["BE","DE"]}`, `{"geoip_allow":["BE"]}`, `[{"geoip_allow":["BE"]}]`, ""},
		{"other_country", `{"geoip_allow":["BE"]}`, `{"geoip_allow":["FR"]}`, `[{"geoip_allow":["BE"]}]`, "geoip_allow has more"},
		{"less_forbidden", `{"geoip_disallow":["BE","FR"]}`, `{"geoip_disallow":["BE"]}`, `[{"geoip_disallow":["BE","FR"]}]`, "geoip_disallow has less"},
		{"allowed_beside_the_forbidden", `{"geoip_disallow":["BE"]}`, `{"geoip_allow":["DE"]}`, `[{"geoip_allow":["DE"]}]`, ""},
		{"usages", `{"usages_AT":3}`, `{"usages_AT":3}`, `[{"usages_AT":3}]`, ""},
		{"usages_missing", `{"usages_AT":3}`, `{"scope":"a"}`, `[{"usages_AT":3}]`, "usages_AT is more"},
		{"usages_together", `{"usages_AT":3}`, `[{"usages_AT":2,"scope":"a"},{"usages_AT":2,"scope":"b"}]`, `[{"scope":"a","usages_AT":2}]`, "clause 2: usages_AT is more"},
		{
			"second_clause", `[{"scope":"a","usages_AT":1},{"scope":"b","usages_AT":1}]`, `[{"scope":"b","usages_AT":1}]`,
			`[{"scope":"b","usages_AT":1}]`, "",
		},
		{
			"no_clause_alone", `[{"scope":"a"},{"scope":"b"}]`, `[{"scope":"a b"}]`, `[{"scope":"a"},{"scope":"b"}]`,
			"in none of the clauses it has to stay in",
		},
		{"over_already", `[{"exp":1799999999},{"exp":1800000100}]`, `[]`, `[{"exp":1800000100}]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted, err := Settle(parse(t, tt.wanted), Setting{Now: start})
			if err != nil {
				t.Fatal(err)
			}
			got, err := Tighten(Parent{Restrictions: parse(t, tt.parent), Now: start}, wanted)
			if err != nil || text(got.Restrictions) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", text(got.Restrictions), err, tt.want)
			}
			strict := got.Strict()
			if tt.dropped == "" && strict == nil {
				return
			}
			if tt.dropped == "" || !errors.Is(strict, ErrNotSubset) || !strings.Contains(strict.Error(), tt.dropped) {
				t.Errorf("error_on_restrictions says %v, want %q", strict, tt.dropped)
			}
		})
	}
}

func TestTightenRefuses(t *testing.T) {
	parent := parse(t, `[{"exp":1800000100,"scope":"a"},{"nbf":1800000500,"exp":1800000600}]`)
	for name, wanted := range map[string]string{
		"between": `{"nbf":1800000200,"exp":1800000300}`, "after": `{"nbf":1800000601}`,
	} {
		settled, err := Settle(parse(t, wanted), Setting{Now: start})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Tighten(Parent{Restrictions: parent, Now: start}, settled)
		if !errors.Is(err, ErrClauses) || !strings.Contains(err.Error(), "clause 1: no time is left") {
			t.Errorf("%s: %v", name, err)
		}
	}
	used := parse(t, `{"usages_AT":1,"usages_other":1}`)
	counters := Counters{{KeyOf(used[0]), Access}: {Used: 1}, {KeyOf(used[0]), Other}: {Held: 1}}
	_, err := Tighten(Parent{Restrictions: used, Counters: counters, Now: start}, nil)
	if !errors.Is(err, ErrNothingLeft) {
		t.Errorf("used up: %v", err)
	}
	over := parse(t, `{"exp":1799999999}`)
	if _, err := Tighten(Parent{Restrictions: over, Now: start}, nil); !errors.Is(err, ErrNothingLeft) {
		t.Errorf("over: %v", err)
	}
}

// TestAllowanceIsChargedToTheParent: what a child may do its parent can no longer do.
func TestAllowanceIsChargedToTheParent(t *testing.T) {
	parent := newFake(parse(t, `{"usages_AT":5}`))
	a := atom{kind: Access, scope: "openid", audience: "a"}
	for range 2 {
		if ok, err := parent.try(a); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	first, _, err := parent.child(parse(t, `{"usages_AT":2}`))
	if err != nil || text(first.rs) != `[{"usages_AT":2}]` {
		t.Fatal(text(first.rs), err)
	}
	second, tight, err := parent.child(parse(t, `{"usages_AT":2}`)) // one is left
	if err != nil || text(second.rs) != `[{"usages_AT":1}]` || !tight.Inherited {
		t.Fatal(text(second.rs), err)
	}
	if none, _, _ := parent.child(nil); none == nil || text(none.rs) != `[{"usages_AT":0}]` {
		t.Errorf("other uses are not limited, and can be handed on: %+v", none)
	}
	total := 2
	for range 10 {
		for _, f := range []*fake{parent, first, second} {
			if ok, _ := f.try(a); ok {
				total++
			}
		}
	}
	if total != 5 {
		t.Errorf("%d access tokens of 5", total)
	}
}

func TestCharges(t *testing.T) {
	parent := parse(t, `[{"scope":"a","usages_AT":4},{"scope":"b","usages_AT":4,"usages_other":2},{"scope":"c"}]`)
	wanted := parse(t, `[{"scope":"a","usages_AT":1},{"scope":"b","usages_AT":3,"usages_other":2},
		{"scope":"c","usages_AT":9},{"scope":"a","usages_AT":2,"exp":1800000100}]`)
	got, err := Tighten(Parent{Restrictions: parent, Now: start}, wanted)
	if err != nil || len(got.Restrictions) != 4 || len(got.Charges) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []struct {
		key  CounterKey
		uses int64
	}{
		{CounterKey{KeyOf(parent[0]), Access}, 3},
		{CounterKey{KeyOf(parent[1]), Access}, 3},
		{CounterKey{KeyOf(parent[1]), Other}, 2},
	} {
		if c := got.Charges[i]; c.CounterKey != want.key || c.Uses != want.uses {
			t.Errorf("%d: %+v", i, c)
		}
	}
	got, err = Tighten(Parent{Restrictions: parent, Now: start, Template: true}, wanted)
	if err != nil || len(got.Charges) != 0 {
		t.Errorf("a template is charged: %+v, %v", got.Charges, err)
	}
	// The parent was used by somebody else in between: the transaction that charges it finds out.
	if _, err := (Counter{Used: 2}).Charge(parent[0].UsagesAT, 3); !errors.Is(err, ErrUsedUp) {
		t.Error(err)
	}
}

// TestSameClausesShareTheirCounter, in the parent and in what is handed on.
func TestSameClausesShareTheirCounter(t *testing.T) {
	f := newFake(parse(t, `[{"usages_AT":2,"usages_other":0},{"usages_AT":2,"usages_other":0}]`))
	child, _, err := f.child(nil)
	if err != nil || text(child.rs) != `[{"usages_AT":2,"usages_other":0}]` {
		t.Error(text(child.rs), err)
	}
	if again, _, _ := f.child(nil); again != nil {
		t.Errorf("handed on twice: %s", text(again.rs))
	}
	// One of the first was used: what is left of both is the same clause, and is charged once.
	f = newFake(parse(t, `[{"usages_AT":3,"usages_other":0},{"usages_AT":2,"usages_other":0}]`))
	if ok, err := f.try(atom{kind: Access, scope: "openid", audience: "a"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	child, tight, err := f.child(nil)
	if err != nil || text(child.rs) != `[{"usages_AT":2,"usages_other":0}]` || len(tight.Charges) != 1 {
		t.Error(text(child.rs), tight.Charges, err)
	}
}

// TestUnusedComesBack: a mytoken that ends leaves its parent what nobody has had.
func TestUnusedComesBack(t *testing.T) {
	parent := newFake(parse(t, `[{"usages_AT":9,"usages_other":1}]`))
	child, _, err := parent.child(parse(t, `[{"usages_AT":6,"usages_other":0,"scope":"a"}]`))
	if err != nil || child == nil {
		t.Fatal(err)
	}
	grandchild, _, err := child.child(parse(t, `[{"usages_AT":2,"usages_other":0,"scope":"a"}]`))
	if err != nil || grandchild == nil {
		t.Fatal(err)
	}
	k := CounterKey{KeyOf(child.rs[0]), Access}
	n := child.counters[k]
	n.Used, n.Lost = 1, 1
	child.counters[k] = n
	if err := child.end(); err != nil { // of 6 one was used, one is unknown, two are with the grandchild
		t.Fatal(err)
	}
	if got := parent.counters[CounterKey{KeyOf(parent.rs[0]), Access}]; got != (Counter{Charged: 4}) {
		t.Errorf("%+v", got)
	}
	if got := parent.counters[CounterKey{KeyOf(parent.rs[0]), Other}]; got != (Counter{}) {
		t.Errorf("%+v", got)
	}
}

func TestLimitLifetime(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		lowered        bool
	}{
		{"no_clause", `[]`, `[{"exp":1800003600}]`, false},
		{"no_exp", `{"scope":"a"}`, `[{"exp":1800003600,"scope":"a"}]`, false},
		{"earlier", `{"exp":1800000100}`, `[{"exp":1800000100}]`, false},
		{"later", `[{"exp":1800000100},{"exp":1900000000}]`, `[{"exp":1800000100},{"exp":1800003600}]`, true},
	} {
		got, lowered, err := LimitLifetime(parse(t, tt.in), start, time.Hour)
		if err != nil || text(got) != tt.want || lowered != tt.lowered {
			t.Errorf("%s: %s, %v, %v", tt.name, text(got), lowered, err)
		}
	}
	if _, _, err := LimitLifetime(parse(t, `{"nbf":1800003600}`), start, time.Hour); !errors.Is(err, ErrClauses) {
		t.Errorf("a clause that begins at the end: %v", err)
	}
	if got, _, err := LimitLifetime(nil, start, 0); err != nil || got != nil {
		t.Error(got, err)
	}
}

func TestEndsAndBegins(t *testing.T) {
	for _, tt := range []struct {
		in           string
		ends, begins int64
	}{
		{`[]`, 0, 1800000000},
		{`[{"exp":1800000100},{"exp":1800000200,"nbf":1800000150}]`, 1800000200, 1800000000},
		{`[{"exp":1800000100},{"nbf":1800000150}]`, 0, 1800000000},
		{`[{"nbf":1800000300},{"nbf":1800000150}]`, 0, 1800000150},
		{`[{"nbf":1700000000}]`, 0, 1800000000},
	} {
		rs := parse(t, tt.in)
		if got := Ends(rs); got.IsZero() != (tt.ends == 0) || tt.ends != 0 && got.Unix() != tt.ends {
			t.Errorf("%s ends %v", tt.in, got)
		}
		if got := Begins(rs, start); got.Unix() != tt.begins {
			t.Errorf("%s begins %v", tt.in, got)
		}
	}
}

func TestAnnotateCountsWhatIsGone(t *testing.T) {
	rs := parse(t, `[{"usages_AT":9},{"scope":"a"}]`)
	counters := Counters{{KeyOf(rs[0]), Access}: {Used: 1, Held: 1, Lost: 2, Charged: 3}, {KeyOf(rs[1]), Other}: {Used: 7}}
	want := `[{"usages_AT":9,"usages_AT_done":6},{"scope":"a","usages_other_done":7}]`
	if got := text(Annotate(rs, counters)); got != want {
		t.Error(got)
	}
	if text(rs) != `[{"usages_AT":9},{"scope":"a"}]` {
		t.Error("the clauses of the token were changed")
	}
	if text(Annotate(mytoken.Restrictions{}, nil)) != `[]` {
		t.Error("no clause is none")
	}
}
