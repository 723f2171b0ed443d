package names

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

const member = "urn:geant:helmholtz.de:group:KIT:Helmholtz-member"

func expressions(s ...string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, e := range s {
		out = append(out, regexp.MustCompile(e))
	}
	return out
}

func lines(t *testing.T, s ...string) []Rewrite {
	t.Helper()
	var out []Rewrite
	for _, l := range s {
		r, err := ParseRewrite(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func rows(t *testing.T, pairs ...string) []Row {
	t.Helper()
	var out []Row
	for i := 0; i < len(pairs); i += 2 {
		r, err := NewRow(pairs[i], pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		name         string
		rules        GroupRules
		ents, groups []string
		want         string
	}{
		{
			"classic_each_level",
			GroupRules{Shorten: Middle},
			[]string{member},
			nil, "helmholtz-de_.._helmholtz-member helmholtz-de_kit",
		},
		{
			"classic_front",
			GroupRules{Shorten: Front},
			[]string{member},
			nil, "helmholtz-de_kit helmholtz.._kit_helmholtz-member",
		},
		{"classic_top_only", GroupRules{TopOnly: true}, []string{member}, nil, "helmholtz-de_kit"},
		{"classic_without_role", GroupRules{}, []string{"urn:geant:x.org:a:group:vo:role=admin#y"}, nil, "x-org-a_vo"},
		{
			"classic_camel_case",
			GroupRules{},
			[]string{"urn:geant:x.org:group:myGroup:HTTPUsers"},
			nil, "x-org_my_group x-org_my_group_http_users",
		},
		{"classic_digit_first", GroupRules{}, []string{"urn:geant:1x.org:group:a"}, nil, "one_x-org_a"},
		{
			"classic_triplet_is_not_its_character",
			GroupRules{},
			[]string{"urn:geant:x:group:a%2Db", "urn:geant:x:group:a-b"},
			nil, "x_a-2_db x_a-b",
		},
		{"g002_decoded", GroupRules{Form: entitlement.G002}, []string{"urn%3Ageant:x:group:My%20Group"}, nil, "x_my-group"},
		{
			"groups_only_without_entitlements",
			GroupRules{},
			[]string{member},
			[]string{"other"},
			"helmholtz-de_kit helmholtz-de_ki." + tail(t),
		},
		{
			"groups_when_none_parses",
			GroupRules{},
			[]string{"urn:geant:x:res:y", "junk"},
			[]string{"/vo/Sub", "b", "b"},
			"b vo-sub",
		},
		{
			"unlisted_entitlement_opens_no_groups",
			GroupRules{Entitlements: expressions("nobody")},
			[]string{member},
			[]string{"b"},
			"",
		},
		{"listed_groups", GroupRules{Values: expressions("^vo-")}, nil, []string{"vo-a", "b", "xvo-c"}, "vo-a"},
		{
			"regex_in_order",
			GroupRules{Method: Regex, Rewrites: lines(t,
				`urn:geant:([^:]+):group:(.+) -> \2_\g<1> # x`, `: -> -`, `[.]de ->`)},
			[]string{"urn:geant:x.de:group:A:b#auth"},
			nil, "a-b_x",
		},
		{"regex_deletes", GroupRules{Method: Regex, Rewrites: lines(t, `.* ->`)}, []string{member}, nil, ""},
		{
			"table",
			GroupRules{Method: Table, Table: rows(t, "urn:geant:helmholtz.de:group:KIT", "hpc",
				"urn:geant:helmholtz.de:group:KIT:x", "no")},
			[]string{member},
			nil, "hpc",
		},
		{
			"table_other_namespace",
			GroupRules{Method: Table, Table: rows(t, "urn:geant:helmholtz.de:group:KIT", "hpc")},
			[]string{"urn:geant:helmholtz.de:evil:group:KIT", "urn:evil:helmholtz.de:group:KIT"},
			nil, "",
		},
		{
			"table_group",
			GroupRules{Method: Table, Table: rows(t, "/vo", "hpc")},
			nil,
			[]string{"/vo", "/vo/sub", "hpc"},
			"hpc",
		},
		{"empty_row_gives_nothing", GroupRules{Method: Table, Table: []Row{{}}}, []string{member}, nil, ""},
		{"unknown_method_gives_nothing", GroupRules{Method: 9}, []string{member}, []string{"a"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.rules.Names(c.ents, c.groups)
			if want := strings.Fields(c.want); err != nil || !slices.Equal(got.Names, sorted(want)) {
				t.Errorf("%q, %v; want %q", got.Names, err, want)
			}
		})
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// tail is what Digest writes for the longer group of member.
func tail(t *testing.T) string {
	t.Helper()
	name, err := Convert("helmholtz-de_kit_helmholtz-member", Digest)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(name, ".")
	return after
}

func TestReservedGroupsAreNeverGiven(t *testing.T) {
	system := []string{
		"root", "sudo", "wheel", "docker", "adm", "ROOT", "Sudo", "-root", "__wheel",
		"\u00addocker", "kvm", "systemd-journal",
	}
	for _, rules := range []GroupRules{
		{},
		{Method: Regex},
		{Method: Regex, Rewrites: lines(t, `^urn:.*:group: ->`)},
	} {
		got, err := rules.Names(nil, append(system, "physics"))
		if err != nil || !slices.Contains(got.Names, "physics") || len(got.Refused) < 8 {
			t.Errorf("%q, refused %v, %v", got.Names, got.Refused, err)
		}
		for _, name := range got.Names {
			safe(t, name)
		}
		var ents []string
		for _, s := range system {
			ents = append(ents, "urn:geant:x:group:"+s)
		}
		if got, err = rules.Names(ents, nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range got.Names {
			safe(t, name)
		}
	}
	for _, name := range []string{"root", "docker", "Bad", "-a", ""} {
		if _, err := NewRow(member, name); !errors.Is(err, ErrRule) {
			t.Errorf("a table gives %q: %v", name, err)
		}
	}
	if _, err := NewRow("", "hpc"); !errors.Is(err, ErrRule) {
		t.Errorf("nothing gives a group: %v", err)
	}
	late := GroupRules{Method: Table, Table: rows(t, member, "hpc"), Limits: Limits{Reserved: []string{"hpc"}}}
	if got, err := late.Names([]string{member}, nil); err != nil || len(got.Names) > 0 ||
		!errors.Is(got.Refused[0].Err, ErrReserved) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestManyGroups(t *testing.T) {
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("g%d", i))
	}
	for _, c := range []struct {
		name  string
		rules GroupRules
		n     int
		want  error
	}{
		{"as_many_as_allowed", GroupRules{}, DefaultMaxGroups, nil},
		{"one_more", GroupRules{}, DefaultMaxGroups + 1, ErrTooMany},
		{"ten_thousand", GroupRules{}, 10_000, ErrTooMany},
		{"ten_thousand_allowed", GroupRules{Max: 10_000}, 10_000, nil},
		{"ten_thousand_and_few_listed", GroupRules{Values: expressions("^g99$")}, 10_000, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.rules.Names(nil, many[:c.n])
			if !errors.Is(err, c.want) || err != nil && len(got.Names) > 0 {
				t.Errorf("%d, %v; want %v", len(got.Names), err, c.want)
			}
		})
	}
	if _, err := (GroupRules{}).Names(make([]string, maxValues+1), nil); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	roots := slices.Repeat([]string{"root\n\x1b[2J" + strings.Repeat("x", 1000), "root"}, 500)
	got, err := (GroupRules{Shorten: Middle}).Names(nil, roots)
	if err != nil || len(got.Refused) != maxRefusals || got.Omitted != 500-maxRefusals {
		t.Errorf("%d refused, %d omitted, %v", len(got.Refused), got.Omitted, err)
	}
}

func TestParseRewriteRefuses(t *testing.T) {
	for _, line := range []string{
		"", "a", "-> b", "(", "( -> b", "(?=a) -> b", `(a)\1 -> b`, `a -> \1`, `a -> \g<x>`, `a -> \`, `a -> \n`, `a -> \g<1`,
		strings.Repeat("a", 5000) + " -> b",
	} {
		if r, err := ParseRewrite(line); !errors.Is(err, ErrRule) {
			t.Errorf("%.20q: %v, %v", line, r, err)
		}
	}
	if got := rewrite(lines(t, `(?P<n>a)b -> $1\g<n>`), "ab"); got != "$1a" {
		t.Errorf("%q", got)
	}
}

func TestPrimary(t *testing.T) {
	for _, c := range []struct {
		configured, fallback, want string
		given                      []string
	}{
		{"users", "nogroup", "users", []string{"a"}},
		{"", "nogroup", "a", []string{"b", "a"}},
		{"", "nogroup", "nogroup", nil},
	} {
		if got, err := Primary(c.configured, c.given, c.fallback); got != c.want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, c.want)
		}
	}
	if got, err := Primary("", nil, ""); got != "" || !errors.Is(err, ErrNoPrimary) {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzGroups(f *testing.F) {
	for _, s := range hostile() {
		f.Add("urn:geant:x:group:"+s, s)
		f.Add("urn:geant:"+s+":group:a", s)
		f.Add("", s)
	}
	rewrites := []Rewrite{}
	for _, l := range []string{`^urn:[^:]*: ->`, `(.)group(.) -> \1\2`} {
		r, err := ParseRewrite(l)
		if err != nil {
			f.Fatal(err)
		}
		rewrites = append(rewrites, r)
	}
	f.Fuzz(func(t *testing.T, ent, group string) {
		for _, rules := range []GroupRules{
			{},
			{Shorten: Middle},
			{Shorten: Front, Form: entitlement.G002},
			{Method: Regex},
			{Method: Regex, Rewrites: rewrites},
		} {
			got, err := rules.Names([]string{ent}, []string{group})
			if err != nil && !errors.Is(err, ErrTooMany) {
				t.Fatal(err)
			}
			for _, name := range got.Names {
				safe(t, name)
				if (Limits{}).CheckName(name) != nil {
					t.Fatalf("%q %q give %q", ent, group, name)
				}
			}
			again, _ := rules.Names([]string{ent}, []string{group})
			if !slices.Equal(got.Names, again.Names) {
				t.Fatalf("%q, then %q", got.Names, again.Names)
			}
		}
	})
}
