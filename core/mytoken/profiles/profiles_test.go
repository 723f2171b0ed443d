package profiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

var now = time.Unix(1_800_000_000, 0)

// group is a Lookup of templates by "kind:name".
type group map[string]string

func (g group) lookup(kind string, name Name) ([]byte, bool, error) {
	payload, ok := g[kind+":"+name.String()]
	return []byte(payload), ok, nil
}

func templates() Lookup {
	return First(group{
		"restrictions:two":            `[{"scope":"a","exp":"+1h"},{"scope":"b"}]`,
		"restrictions:more":           `[{"hosts":["10.0.0.1"]},{"hosts":["10.0.0.2"]}]`,
		"restrictions:grp/site":       `{"hosts":["192.0.2.0/24"],"include":"1d"}`,
		"restrictions:nothing":        `{}`,
		"restrictions:a":              `{"include":"b"}`,
		"restrictions:b":              `{"include":"a"}`,
		"restrictions:self":           `{"include":"self"}`,
		"restrictions:broken":         `{"exp":`,
		"capabilities:grp/reader":     `["@default","read@settings"]`,
		"capabilities:loop":           `["@loop"]`,
		"rotation:slow":               `{"include":["weekly","at"],"lifetime":7}`,
		"profiles:job":                `{"include":"base","name":"job","restrictions":{"include":"1d","usages_AT":5},"capabilities":["AT"]}`,
		"profiles:base":               `{"name":"base","capabilities":["tokeninfo"],"restrictions":{"scope":"openid"},"rotation":"at"}`,
		"profiles:list":               `{"restrictions":[{"scope":"x"},{"scope":"y"}]}`,
		"profiles:none":               `{"restrictions":"nothing"}`,
		"profiles:hostile":            `{"grant_type":"oidc_flow","redirect_uri":"https://evil.example.org","name":"n"}`,
		"profiles:profile_of_itself":  `{"include":["job","profile_of_itself"]}`,
		"profiles:no_object":          `["AT"]`,
		"profiles:_/with_group_alone": `{}`,
	}.lookup, LookupShipped)
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing_to_expand", `{"oidc_issuer":"https://op","restrictions":[{"exp":1}],"x":{"a":[1.50]}}`, `{"oidc_issuer":"https://op","restrictions":[{"exp":1}],"x":{"a":[1.50]}}`},
		{"by_name", `{"restrictions":"1d","capabilities":"default","rotation":"at"}`, `{"capabilities":["AT","tokeninfo"],"restrictions":{"exp":"+1d"},"rotation":{"on_AT":true}}`},
		{"with_at_sign", `{"restrictions":"@1d @ip-this"}`, `{"restrictions":{"exp":"+1d","hosts":["this"]}}`},
		{"in_a_clause", `{"restrictions":[{"include":["1d","ip-this"],"usages_AT":3}]}`, `{"restrictions":[{"exp":"+1d","hosts":["this"],"usages_AT":3}]}`},
		{"own_value_wins", `{"restrictions":{"include":"1d","exp":"+2d"}}`, `{"restrictions":{"exp":"+2d"}}`},
		{"lists_are_joined", `{"restrictions":{"include":"ip-this","hosts":["10.0.0.1","this"]}}`, `{"restrictions":{"hosts":["10.0.0.1","this"]}}`},
		{"other_group", `{"restrictions":"grp/site"}`, `{"restrictions":{"exp":"+1d","hosts":["192.0.2.0/24"]}}`},
		{"list_makes_a_list", `{"restrictions":"two"}`, `{"restrictions":[{"exp":"+1h","scope":"a"},{"scope":"b"}]}`},
		{
			"clause_holds_in_each_of_a_list", `{"restrictions":{"include":"two","usages_AT":1}}`,
			`{"restrictions":[{"exp":"+1h","scope":"a","usages_AT":1},{"scope":"b","usages_AT":1}]}`,
		},
		{
			"two_lists", `{"restrictions":{"include":"two more"}}`,
			`{"restrictions":[{"exp":"+1h","hosts":["10.0.0.1"],"scope":"a"},{"exp":"+1h","hosts":["10.0.0.2"],"scope":"a"},` +
				`{"hosts":["10.0.0.1"],"scope":"b"},{"hosts":["10.0.0.2"],"scope":"b"}]}`,
		},
		{"list_in_a_list", `{"restrictions":[{"include":"two"},{"scope":"c"},"1w"]}`, `{"restrictions":[{"exp":"+1h","scope":"a"},{"scope":"b"},{"scope":"c"},{"exp":"+1w"}]}`},
		{"empty_clauses_go", `{"restrictions":[{"include":"nothing"},{"scope":"c"},{}]}`, `{"restrictions":[{"scope":"c"}]}`},
		{"capabilities_in_a_list", `{"capabilities":["@default+MT","AT","settings"]}`, `{"capabilities":["AT","tokeninfo","create_mytoken","settings"]}`},
		{"capabilities_of_a_group", `{"capabilities":["@grp/reader"]}`, `{"capabilities":["AT","tokeninfo","read@settings"]}`},
		{"rotation_nested", `{"rotation":{"include":"slow","auto_revoke":true}}`, `{"rotation":{"auto_revoke":true,"lifetime":7,"on_AT":true}}`},
		{"rotation_of_three", `{"rotation":"at-other-daily-auto-revoke"}`, `{"rotation":{"auto_revoke":true,"lifetime":86400,"on_AT":true,"on_other":true}}`},
		{
			"profile_of_a_profile", `{"include":"job","name":"mine"}`,
			`{"capabilities":["AT","tokeninfo"],"name":"mine","restrictions":{"exp":"+1d","scope":"openid","usages_AT":5},"rotation":{"on_AT":true}}`,
		},
		{"clause_and_list", `{"include":"list","restrictions":{"scope":"z"}}`, `{"restrictions":[{"scope":"z"},{"scope":"x"},{"scope":"y"}]}`},
		{"profile_that_leaves_nothing", `{"include":"none","name":"n"}`, `{"name":"n"}`},
		{"null_is_absent", `{"include":"base","name":null}`, `{"capabilities":["tokeninfo"],"name":"base","restrictions":{"scope":"openid"},"rotation":{"on_AT":true}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Request([]byte(tt.in), templates())
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestRequestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"unknown_profile", `{"include":"nope"}`, ErrUnknown},
		{"unknown_restriction", `{"restrictions":[{"exp":"+1d","include":"nope"}]}`, ErrUnknown},
		{"unknown_capabilities", `{"capabilities":["@nope"]}`, ErrUnknown},
		{"unknown_rotation", `{"rotation":"nope"}`, ErrUnknown},
		{"kind_of_another", `{"restrictions":"agent"}`, ErrUnknown},
		{"two_slashes", `{"include":"a/b/c"}`, ErrName},
		{"no_group", `{"include":"/b"}`, ErrName},
		{"hostile_name", `{"include":"\u001b[31m"}`, ErrName},
		{"circle", `{"restrictions":"a"}`, ErrLoop},
		{"itself", `{"restrictions":{"include":["1d","self"]}}`, ErrLoop},
		{"capabilities_of_itself", `{"capabilities":["@loop"]}`, ErrLoop},
		{"profile_of_itself", `{"include":"profile_of_itself"}`, ErrLoop},
		{"too_often", `{"include":"` + strings.Repeat("base ", maxIncludes) + `"}`, ErrLoop},
		{"broken_template", `{"restrictions":"broken"}`, ErrRequest},
		{"profile_that_is_none", `{"include":"no_object"}`, ErrRequest},
		{"no_request", `["AT"]`, ErrRequest},
		{"more_after_it", `{} {}`, ErrRequest},
		{"out_of_its_place", `{},"x":{}`, ErrRequest},
		{"twice", `{"name":"a","name":"b"}`, ErrRequest},
		{"include_of_nonsense", `{"include":7}`, ErrRequest},
		{"include_with_nonsense", `{"restrictions":{"include":["1d",7]}}`, ErrRequest},
		{"restrictions_of_nonsense", `{"restrictions":7}`, ErrRequest},
		{"clause_of_nonsense", `{"restrictions":[7]}`, ErrRequest},
		{"list_of_lists", `{"restrictions":[[{"exp":1}]]}`, ErrRequest},
		{"capability_of_nonsense", `{"capabilities":[7]}`, ErrRequest},
		{"rotation_of_nonsense", `{"rotation":true}`, ErrRequest},
		{"too_long", `{"name":"` + strings.Repeat("x", maxBytes) + `"}`, ErrRequest},
		{"too_deep", `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, ErrRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Request([]byte(tt.in), templates())
			if !errors.Is(err, tt.want) {
				t.Errorf("%.200s: %v, want %v", got, err, tt.want)
			}
		})
	}
	_, err := Request([]byte(`{"include":"grp/nope"}`), templates())
	if err == nil || err.Error() != "unknown include name: 'grp/nope'" {
		t.Error(err)
	}
	broken := errors.New("the store is broken")
	if _, err := Request([]byte(`{"include":"x"}`), func(string, Name) ([]byte, bool, error) { return nil, false, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestExpandedRequestIsOne: what comes out can be read as a request, and a profile never says how the mytoken is asked for.
func TestExpandedRequestIsOne(t *testing.T) {
	b, err := Request([]byte(`{"include":["web-default","hostile"]}`), templates())
	if err != nil {
		t.Fatal(err)
	}
	var r mytoken.Request
	if err := r.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(r)
	if err != nil || strings.Contains(string(out), "evil") || strings.Contains(string(out), "grant_type") {
		t.Errorf("%s, %v", out, err)
	}
	rs, err := rules.Settle(r.Restrictions, rules.Setting{Now: now, Client: netip.MustParseAddr("192.0.2.7")})
	if err != nil || len(rs) != 1 || rs[0].String() != "until 2027-01-22 08:00:00 UTC, from hosts 192.0.2.7" {
		t.Errorf("%v, %v", rs, err)
	}
}

// TestClausesAreBounded: lists of lists multiply.
func TestClausesAreBounded(t *testing.T) {
	wide := group{}
	var clauses []string
	for i := range 60 {
		clauses = append(clauses, fmt.Sprintf(`{"scope":"s%d"}`, i))
	}
	for _, n := range []string{"x", "y", "z"} {
		wide["restrictions:"+n] = strings.ReplaceAll("["+strings.Join(clauses, ",")+"]", "scope", "k"+n)
	}
	for _, in := range []string{`{"restrictions":"x y z"}`, `{"restrictions":["x","y"]}`, `{"restrictions":[{"include":"x y"}]}`} {
		if _, err := Request([]byte(in), wide.lookup); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := Request([]byte(`{"restrictions":"x"}`), wide.lookup); err != nil {
		t.Error(err)
	}
}

func TestShipped(t *testing.T) {
	for kind, want := range map[string]string{
		mytoken.CapabilityTemplates:  "all default default+MT",
		mytoken.RestrictionTemplates: "12h 1d 1w 1m 1y ip-this web-default",
		mytoken.RotationTemplates: "at other daily weekly monthly auto-revoke at-other-auto-revoke at-other-no-auto-revoke " +
			"at-other-daily-auto-revoke at-other-weekly-auto-revoke",
		mytoken.Profiles: "agent web-default",
	} {
		var names []string
		for _, s := range ShippedOf(kind) {
			names = append(names, s.Name)
			if err := CheckTemplate(kind, []byte(s.Payload), LookupShipped, now); err != nil {
				t.Errorf("%s %s: %v", kind, s.Name, err)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if ShippedOf("nonsense") != nil {
		t.Error("there are templates of no kind")
	}
	b, err := Expand(mytoken.CapabilityTemplates, []byte(`["@all"]`), LookupShipped)
	if err != nil {
		t.Fatal(err)
	}
	var all mytoken.Capabilities
	if err := all.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	for _, c := range rules.KnownCapabilities() {
		if !rules.Allows(all, c.Name) {
			t.Errorf("all has not %s", c.Name)
		}
	}
}

func TestPayload(t *testing.T) {
	for _, tt := range []struct{ kind, in, want string }{
		{mytoken.RestrictionTemplates, `{"include":"web-default"}`, `[{"exp":1800604800,"hosts":["this"]}]`},
		{mytoken.RestrictionTemplates, `"1m"`, `[{"exp":1802592000}]`},
		{mytoken.RestrictionTemplates, `[]`, `[]`},
		{mytoken.CapabilityTemplates, `"default"`, `["AT","tokeninfo"]`},
		{mytoken.CapabilityTemplates, `[]`, `[]`},
		{mytoken.RotationTemplates, `"at other"`, `{"on_AT":true,"on_other":true}`},
		{mytoken.Profiles, `{"include":"web-default"}`, `{"capabilities":["AT","create_mytoken","tokeninfo","manage_mytokens","settings"],` +
			`"restrictions":[{"exp":1800604800,"hosts":["this"]}],"rotation":{"auto_revoke":true,"on_AT":true}}`},
		{mytoken.Profiles, `{"name":"n"}`, `{"name":"n"}`},
	} {
		got, err := Payload(tt.kind, []byte(tt.in), LookupShipped, now)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s %s: %s, %v", tt.kind, tt.in, got, err)
		}
	}
	if _, err := Payload("nonsense", []byte(`{}`), LookupShipped, now); !errors.Is(err, ErrKind) {
		t.Error(err)
	}
}

func TestCheckTemplateRefuses(t *testing.T) {
	for _, tt := range []struct{ name, kind, in string }{
		{"over", mytoken.RestrictionTemplates, `{"exp":1700000000}`},
		{"restricts_nothing", mytoken.RestrictionTemplates, `{}`},
		{"no_clause", mytoken.RestrictionTemplates, `[]`},
		{"unknown_key", mytoken.RestrictionTemplates, `{"exp":"+1d","geoip_alow":["BE"]}`},
		{"time_of_nonsense", mytoken.RestrictionTemplates, `{"exp":"soon"}`},
		{"list_of_nothing", mytoken.RestrictionTemplates, `{"audience":[]}`},
		{"rotation_of_texts", mytoken.RotationTemplates, `{"on_AT":"yes"}`},
		{"no_capability", mytoken.CapabilityTemplates, `[]`},
		{"profile_that_is_over", mytoken.Profiles, `{"restrictions":{"exp":1700000000}}`},
		{"profile_of_numbers", mytoken.Profiles, `{"name":7}`},
		{"unknown", mytoken.Profiles, `{"include":"nope"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckTemplate(tt.kind, []byte(tt.in), LookupShipped, now)
			if !errors.Is(err, ErrRequest) && !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"1d": "1d", "@1d": "1d", "_/1d": "1d", "@_/1d": "1d", "grp/1d": "grp/1d", "@grp/default+MT": "grp/default+MT",
	} {
		if n, err := ParseName(in); err != nil || n.String() != want {
			t.Errorf("%s: %v, %v", in, n, err)
		}
	}
	for _, in := range []string{"", "@", "/", "a/", "/a", "a/b/c", "a b", "a\nb", "ä", "@@a", "a,b", strings.Repeat("a", maxName+1)} {
		if n, err := ParseName(in); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v, %v", in, n, err)
		}
	}
}

func FuzzTemplates(f *testing.F) {
	f.Add(`{"include":"job"}`, `{"include":["1d","ip-this"],"usages_AT":3}`, uint8(0))
	f.Add(`["@default","x"]`, `[{"scope":"a"},"two"]`, uint8(1))
	f.Add(`"at other"`, `{"include":"mine"}`, uint8(3))
	f.Fuzz(func(t *testing.T, in, template string, k uint8) {
		kinds := []string{
			mytoken.Profiles, mytoken.CapabilityTemplates, mytoken.RestrictionTemplates, mytoken.RotationTemplates,
		}
		kind := kinds[int(k)%len(kinds)]
		own := func(string, Name) ([]byte, bool, error) { return []byte(template), true, nil }
		lookup := First(templates(), own)
		got, err := Expand(kind, []byte(in), lookup)
		if err != nil {
			return
		}
		again, err := Expand(kind, got, func(string, Name) ([]byte, bool, error) { return nil, false, nil })
		if err != nil || string(again) != string(got) {
			t.Fatalf("%s became %s, and that %s: %v", in, got, again, err)
		}
	})
}
