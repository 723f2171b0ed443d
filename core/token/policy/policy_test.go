package policy

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	home  = "https://op.example.org/"
	other = "https://other.example.org"
)

func object(t testing.TB, s string) jose.Object {
	t.Helper()
	if s == "" {
		return jose.Object{}
	}
	o, err := jose.StrictObject([]byte(s), jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return o
}

// alice is a subject at home with more claims in her token.
func alice(t testing.TB, profile claims.Profile, more string) Subject {
	t.Helper()
	s := `{"iss":"` + home + `","sub":"alice"`
	if profile == claims.WLCG {
		s += `,"wlcg.ver":"1.0"`
	}
	if more != "" {
		s += "," + more
	}
	c, err := claims.Parse([]byte(s + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return Subject{Issuer: home, Subject: "alice", Profile: profile, Claims: c}
}

func parse(t testing.TB, file string) *Policy {
	t.Helper()
	p, err := Parse("p.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRequirements(t *testing.T) {
	const issuers = "issuers:\n  " + home + ": {namespaces: [urn:geant:h-df.de], areas: [/vo]}\n  " + other +
		": {namespaces: urn:geant:kit.edu, groups: /atlas}\n"
	const e = `"entitlements":["urn:geant:h-df.de:group:x:y#aai","urn:geant:kit.edu:group:k","junk"]`
	const raf = `"eduperson_assurance":["https://refeds.org/assurance","https://refeds.org/assurance/ID/unique","https://refeds.org/assurance/IAP/high"]`
	for _, c := range []struct {
		name, require, more string
		want                bool
	}{
		{"anyone", "ANYONE", "", true},
		{"noone", "NOONE", "", false},
		{"identified", "IDENTIFIED", "", true},
		{"issuer", "{issuer: " + home + "}", "", true},
		{"issuer_without_its_slash", "{issuer: https://op.example.org}", "", false},
		{"issuer_one_of", "{issuer: [" + other + ", " + home + "]}", "", true},
		{"subject", "{subject: {issuer: " + home + ", sub: [bob, alice]}}", "", true},
		{"subject_of_other_issuer", "{subject: {issuer: " + other + ", sub: alice}}", "", false},
		{"all_of", "{all_of: [ANYONE, IDENTIFIED]}", "", true},
		{"all_of_one_missing", "{all_of: [ANYONE, NOONE]}", "", false},
		{"all_of_none", "{all_of: []}", "", false},
		{"one_of", "{one_of: [NOONE, ANYONE]}", "", true},
		{"one_of_none", "{one_of: []}", "", false},
		{"n_of_enough", "{n_of: {n: 2, of: [NOONE, ANYONE, ANYONE]}}", "", true},
		{"n_of_few", "{n_of: {n: 2, of: [NOONE, ANYONE, NOONE]}}", "", false},
		{"n_of_none", "{n_of: {n: 1, of: []}}", "", false},
		{"claim_text", "{claim: {claim: c, required: v}}", `"c":"v"`, true},
		{"claim_in_list", "{claim: {claim: c, required: v}}", `"c":["u",{"x":1},"v"]`, true},
		{"claim_absent", "{claim: {claim: c, required: v}}", "", false},
		{"claim_null", "{claim: {claim: c, required: v}}", `"c":null`, false},
		{"claim_truth", "{claim: {claim: c, required: true}}", `"c":true`, true},
		{"claim_truth_is_no_text", "{claim: {claim: c, required: true}}", `"c":"true"`, false},
		{"claim_text_is_no_truth", `{claim: {claim: c, required: "true"}}`, `"c":true`, false},
		{"claim_number", "{claim: {claim: c, required: 7}}", `"c":[6,7]`, true},
		{"claim_all", "{claim: {claim: c, required: [a, b]}}", `"c":["a"]`, false},
		{"claim_one", "{claim: {claim: c, required: [a, b], match: one}}", `"c":["a"]`, true},
		{"claim_two", "{claim: {claim: c, required: [a, b, d], match: 2}}", `"c":["a","d"]`, true},
		{"claim_of_other_issuer", "{claim: {claim: c, required: v, issuer: " + other + "}}", `"c":"v"`, false},
		{"claim_nested_list", "{claim: {claim: c, required: v}}", `"c":[["v"]]`, false},
		{"audience", "{audience: [a, b]}", `"aud":["b"]`, true},
		{"audience_other", "{audience: a}", `"aud":"ab"`, false},
		{"audience_absent", "{audience: a}", "", false},
		{"vo", `{vo: {required: "urn:geant:h-df.de:group:x"}}`, e, true},
		{"vo_normal_form", `{vo: {required: "URN:geant:H-DF.de:group:x:y#else"}}`, e, true},
		{"vo_other_group", `{vo: {required: "urn:geant:h-df.de:group:z"}}`, e, false},
		{"vo_namespace_of_other_issuer", `{vo: {required: "urn:geant:kit.edu:group:k"}}`, e, false},
		{"vo_issuer_said_here", `{vo: {required: "urn:geant:kit.edu:group:k", issuer: ` + home + "}}", e, true},
		{"vo_text_of_that_issuer", "{vo: {required: junk, issuer: " + home + "}}", e, true},
		{"vo_other_claim", `{vo: {required: "urn:geant:h-df.de:group:x", claim: mine}}`, `"mine":"urn:geant:h-df.de:group:x"`, true},
		{"vo_second_claim", `{vo: {required: "urn:geant:h-df.de:group:x"}}`, `"eduperson_entitlement":"urn:geant:h-df.de:group:x"`, true},
		{"vo_other_kind_of_urn", `{vo: {required: "urn:geant:h-df.de:admins:member@vo"}}`, `"entitlements":["urn:geant:h-df.de:admins:member@vo"]`, true},
		{"vo_never_from_groups", `{vo: {required: "urn:geant:h-df.de:group:x", claim: groups}}`, `"groups":["urn:geant:h-df.de:group:x:y"]`, false},
		{"group", "{vo: {required: /cms, claim: wlcg.groups}}", `"wlcg.groups":["/cms"]`, true},
		{"group_child_is_not_parent", "{vo: {required: /cms, claim: wlcg.groups}}", `"wlcg.groups":["/cms/x"]`, false},
		{"group_parent_is_not_child", "{vo: {required: /cms/x, claim: wlcg.groups}}", `"wlcg.groups":["/cms"]`, false},
		{"group_of_other_issuer", "{vo: {required: /atlas/x, claim: wlcg.groups}}", `"wlcg.groups":["/atlas/x"]`, false},
		{"assurance", "{assurance: profile/espresso | IAP/medium & ID/unique}", raf, true},
		{"assurance_not", "{assurance: IAP/medium & ATP/ePA-1d}", raf, false},
		{"assurance_absent", "{assurance: IAP/low}", "", false},
		{"assurance_in_yaml", "{all_of: [{assurance: IAP/low}, {one_of: [{assurance: ID/unique}, NOONE]}]}", raf, true},
		{"assurance_without_base", "{assurance: IAP/low}", `"eduperson_assurance":"https://refeds.org/assurance/IAP/low"`, false},
		{
			"assurance_base_optional", "{assurance: {expression: IAP/low, base: optional}}",
			`"eduperson_assurance":"https://refeds.org/assurance/IAP/low"`, true,
		},
		{"scope", "{scope: [a, b]}", `"scope":"b a"`, true},
		{"scope_missing", "{scope: [a, b]}", `"scope":"ab"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, "version: 1\n"+issuers+"require: "+c.require+"\n")
			d := p.Decide(alice(t, claims.WLCG, c.more), Request{})
			if d.Allowed != c.want || d.Allowed != d.Tree.Yes || d.Allowed == (d.Reason != "") {
				t.Errorf("%v, %q\n%s", d.Allowed, d.Reason, d.Tree)
			}
		})
	}
}

func TestCapability(t *testing.T) {
	const file = "version: 1\nissuers: {" + home + ": {areas: [/vo, /scratch/vo]}}\n" +
		"require: {capability: {otherwise: {vo: {required: /cms, claim: wlcg.groups}}}}\n"
	p := parse(t, file)
	for _, c := range []struct {
		name     string
		profile  claims.Profile
		more     string
		op, path string
		want     bool
	}{
		{"read", claims.WLCG, `"scope":"storage.read:/a"`, "storage.read", "/vo/a/f", true},
		{"second_area", claims.WLCG, `"scope":"storage.read:/a"`, "storage.read", "/scratch/vo/a/f", true},
		{"outside_area", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "/other/f", false},
		{"beside_area", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "/vox/f", false},
		{"out_of_area_by_dots", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "/vo/../etc", false},
		{"encoded_dots", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "/vo/%2e%2e/etc", false},
		{"encoded_twice_is_a_name", claims.WLCG, `"scope":"storage.read:/a"`, "storage.read", "/vo/%252e%252e/a/f", false},
		{"percent_kept", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "/vo/%25", true},
		{"beside_scope", claims.WLCG, `"scope":"storage.read:/a"`, "storage.read", "/vo/ab", false},
		{"modify_is_create", claims.WLCG, `"scope":"storage.modify:/"`, "storage.create", "/vo/f", true},
		{"modify_is_not_read", claims.WLCG, `"scope":"storage.modify:/"`, "storage.read", "/vo/f", false},
		{"stat_by_stage", claims.WLCG, `"scope":"storage.stage:/"`, "stat", "/vo/f", true},
		{"compute", claims.WLCG, `"scope":"compute.create"`, "compute.create", "", true},
		{"compute_other", claims.WLCG, `"scope":"compute.create"`, "compute.cancel", "", false},
		{"groups_count_not_beside_capabilities", claims.WLCG, `"scope":"compute.read","wlcg.groups":["/cms"]`, "storage.read", "/vo/f", false},
		{"groups_count_without", claims.WLCG, `"scope":"openid","wlcg.groups":["/cms"]`, "storage.read", "/vo/f", true},
		{"bad_scope_spoils_all", claims.WLCG, `"scope":"storage.read:/ storage.read:/a/.."`, "storage.read", "/vo/f", false},
		{"scitokens_read", claims.SciTokens, `"scope":"read:/a"`, "storage.read", "/vo/a", true},
		{"scitokens_write", claims.SciTokens, `"scope":"write:/"`, "storage.modify", "/vo/a", true},
		{"scitokens_write_is_not_read", claims.SciTokens, `"scope":"write:/"`, "read", "/vo/a", false},
		{"write_by_modify", claims.WLCG, `"scope":"storage.modify:/"`, "write", "/vo/a", true},
		{"write_not_by_create", claims.WLCG, `"scope":"storage.create:/"`, "write", "/vo/a", false},
		{"generic_has_none", claims.Generic, `"scope":"storage.read:/"`, "storage.read", "/vo/a", false},
		{"operation_unknown", claims.WLCG, `"scope":"storage.read:/"`, "", "/vo/a", false},
		{"path_unknown", claims.WLCG, `"scope":"storage.read:/"`, "storage.read", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := p.Decide(alice(t, c.profile, c.more), Request{Operation: c.op, Path: c.path})
			if d.Allowed != c.want {
				t.Errorf("%v\n%s", d.Allowed, d.Tree)
			}
		})
	}
	s := alice(t, claims.WLCG, `"scope":"storage.read:/"`)
	s.Issuer = other
	if d := p.Decide(s, Request{Operation: "storage.read", Path: "/vo/f"}); d.Allowed {
		t.Errorf("an issuer without areas:\n%s", d.Tree)
	}
	d := p.Decide(alice(t, claims.WLCG, `"scope":"storage.read:/"`), Request{Operation: "storage.read"})
	if d.Allowed || !strings.Contains(d.Reason, "the request's path is not known") {
		t.Errorf("no path: %v %s", d.Allowed, d.Reason)
	}
}

func TestInsufficientScope(t *testing.T) {
	const file = "version: 1\nissuers: {" + home + ": {areas: /vo}}\nrequire: {all_of: [IDENTIFIED, {capability: requested}, {scope: x}]}\n"
	p := parse(t, file)
	r := Request{Operation: "storage.read", Path: "/vo/f"}
	d := p.Decide(alice(t, claims.WLCG, ""), r)
	if got := strings.Join(d.InsufficientScope, " "); got != "storage.read:/f x" {
		t.Errorf("missing %q", got)
	}
	s := alice(t, claims.WLCG, "")
	s.Subject = ""
	if d := p.Decide(s, r); d.Allowed || d.InsufficientScope != nil {
		t.Errorf("scopes would not help, yet %v", d.InsufficientScope)
	}
	if d := p.Decide(alice(t, claims.WLCG, `"scope":"x storage.read:/"`), r); !d.Allowed || d.InsufficientScope != nil {
		t.Errorf("%+v", d)
	}
}

func TestRules(t *testing.T) {
	p := parse(t, `version: 1
services:
  api:
    rules:
      - {paths: [/admin/], require: NOONE}
      - {methods: [DELETE], require: {scope: delete}}
    require: ANYONE
  closed:
    rules:
      - {operations: storage.read, require: ANYONE}
`)
	for _, c := range []struct {
		name string
		r    Request
		want bool
	}{
		{"rest", Request{"api", "GET", "", "/x"}, true},
		{"below", Request{"api", "GET", "", "/admin/x"}, false},
		{"directory_without_slash", Request{"api", "GET", "", "/admin"}, false},
		{"doubled_slash", Request{"api", "GET", "", "//admin/x"}, false},
		{"dots", Request{"api", "GET", "", "/x/../admin"}, false},
		{"encoded", Request{"api", "GET", "", "/%61dmin"}, false},
		{"encoded_slash", Request{"api", "GET", "", "/x%2f..%2fadmin"}, false},
		{"beside", Request{"api", "GET", "", "/administrator"}, true},
		{"method", Request{"api", "DELETE", "", "/x"}, false},
		{"method_in_small_letters", Request{"api", "delete", "", "/x"}, false},
		{"method_unknown", Request{"api", "", "", "/x"}, false},
		{"path_unknown", Request{"api", "GET", "", ""}, false},
		{"operation", Request{"closed", "", "storage.read", ""}, true},
		{"no_rule", Request{"closed", "", "storage.create", ""}, false},
		{"no_service", Request{"nowhere", "GET", "", "/x"}, false},
		{"service_not_said", Request{"", "GET", "", "/x"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := p.Decide(alice(t, claims.Generic, ""), c.r); d.Allowed != c.want {
				t.Errorf("%v\n%s", d.Allowed, d.Tree)
			}
		})
	}
	if d := new(Policy).Decide(Subject{}, Request{}); d.Allowed {
		t.Error("the zero policy allows")
	}
}

func TestSources(t *testing.T) {
	claim := func(name, v string) *Policy {
		return parse(t, "version: 1\nrequire: {claim: {claim: "+name+", required: "+v+"}}\n")
	}
	for _, c := range []struct {
		name, claim, token, userinfo, introspection string
		want                                        bool
	}{
		{"signed_wins", "acr", `"acr":"low"`, `{"sub":"alice","acr":"v"}`, "", false},
		{"signed_wins_over_introspection", "client_id", `"client_id":"x"`, "", `{"active":true,"client_id":"v"}`, false},
		{"userinfo_for_the_rest", "c", `"c":"old"`, `{"sub":"alice","c":"v"}`, "", true},
		{"userinfo_of_somebody_else", "c", "", `{"sub":"bob","c":"v"}`, "", false},
		{"userinfo_without_sub", "c", "", `{"c":"v"}`, "", false},
		{"userinfo_says_nothing_of_aud", "aud", "", `{"sub":"alice","aud":"v"}`, "", false},
		{"introspection", "c", "", "", `{"active":true,"c":"v"}`, true},
		{"introspection_inactive", "c", "", "", `{"active":false,"c":"v"}`, false},
		{"introspection_active_as_text", "c", "", "", `{"active":"true","c":"v"}`, false},
		{"introspection_of_somebody_else", "c", "", "", `{"active":true,"sub":"bob","c":"v"}`, false},
		{"introspection_of_other_issuer", "c", "", "", `{"active":true,"iss":"https://x","c":"v"}`, false},
		{"groups_from_userinfo", "wlcg.groups", "", `{"sub":"alice","wlcg.groups":["v"]}`, "", true},
		{"signed_groups_win", "wlcg.groups", `"wlcg.groups":["/a"]`, `{"sub":"alice","wlcg.groups":["v"]}`, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := alice(t, claims.Generic, c.token)
			s.Userinfo, s.Introspection = object(t, c.userinfo), object(t, c.introspection)
			if d := claim(c.claim, "v").Decide(s, Request{}); d.Allowed != c.want {
				t.Errorf("%v\n%s", d.Allowed, d.Tree)
			}
		})
	}
	s := Subject{Issuer: home, Subject: "alice", Introspection: object(t, `{"active":true,"scope":"a b"}`)}
	if d := parse(t, "version: 1\nrequire: {scope: b}\n").Decide(s, Request{}); !d.Allowed {
		t.Errorf("scope of an opaque token:\n%s", d.Tree)
	}
}

// TestSubjectAll: what is shown of a subject is what a policy judges, each claim once.
func TestSubjectAll(t *testing.T) {
	s := alice(t, claims.Generic, `"acr":"signed","c":"old","n":null`)
	s.Userinfo = object(t, `{"sub":"alice","acr":"v","c":"new","aud":"forged","u":1}`)
	s.Introspection = object(t, `{"active":true,"acr":"w","c":"mid","username":"al"}`)
	var got []string
	for name, raw := range s.All() {
		got = append(got, name+"="+raw)
	}
	want := []string{
		`iss="` + home + `"`, `sub="alice"`, `acr="signed"`, `c="new"`, `active=true`, `username="al"`, `u=1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	s.Userinfo = object(t, `{"sub":"bob","c":"of bob"}`)
	for name, raw := range s.All() {
		if strings.Contains(raw, "bob") {
			t.Errorf("userinfo of somebody else: %s=%s", name, raw)
		}
	}
	for name := range s.All() { // breaking off is no trouble
		if name == "sub" {
			break
		}
	}
}

func TestSubnamespaces(t *testing.T) {
	const file = "version: 1\nissuers: {" + home + ": {namespaces: urn:geant:h-df.de}}\nrequire: {vo: {required: \"urn:geant:h-df.de:group:x\"}}\n"
	s := alice(t, claims.Generic, `"entitlements":"urn:geant:h-df.de:evil:group:x"`)
	if d := parse(t, file).Decide(s, Request{}); !d.Allowed {
		t.Errorf("prefix:\n%s", d.Tree)
	}
	if d := parse(t, file+"entitlements: {subnamespaces: exact}\n").Decide(s, Request{}); d.Allowed {
		t.Errorf("exact:\n%s", d.Tree)
	}
}

func TestDecisionForms(t *testing.T) {
	p := parse(t, "version: 1\nlevels: {staff: {scope: s}}\nrequire: {all_of: [staff, {one_of: [staff, ANYONE]}]}\n")
	d := p.Decide(alice(t, claims.Generic, ""), Request{})
	const want = `no   policy
  no   all_of: 1 of 2, needed 2
    no   level staff
      no   scope s: the token does not have it
    yes  one_of: 1 of 2, needed 1
      no   level staff: as decided above
      yes  level ANYONE
`
	if got := d.Tree.String(); got != want {
		t.Errorf("got\n%s", got)
	}
	if d.Reason != "scope s: the token does not have it" {
		t.Errorf("reason %q", d.Reason)
	}
	b, err := json.Marshal(d)
	if err != nil || !strings.HasPrefix(string(b), `{"allowed":false,"reason":"scope s`) || !json.Valid(b) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDocument runs what docs/policy.md shows: every YAML block is a valid policy, and that of get_vo_requirement
// decides as flaat does.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile("../../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	var vo *Policy
	for _, m := range blocks {
		p := parse(t, m[1])
		if strings.Contains(m[1], "get_vo_requirement") {
			vo = p
		}
	}
	if len(blocks) < 2 || vo == nil {
		t.Fatalf("%d blocks", len(blocks))
	}
	for groups, want := range map[string]bool{
		`["/wlcg"]`: true, `["/cms"]`: true, `["/x","/cms"]`: true, `["/cms","/wlcg"]`: true,
		`["/cms/uscms"]`: false, `["cms"]`: false, `["/atlas"]`: false, `[]`: false,
	} {
		s := alice(t, claims.Generic, `"wlcg.groups":`+groups)
		if d := vo.Decide(s, Request{}); d.Allowed != want {
			t.Errorf("%s: %v\n%s", groups, d.Allowed, d.Tree)
		}
	}
	if len(vo.Notes) != 2 {
		t.Errorf("notes %v", vo.Notes)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"version: 1\nrequire: ANYONE\n", "version: 1\nlevels: {a: &x b, b: *x}\nrequire: {n_of: {n: 1, of: [a, b]}}\n",
		"version: 1\nissuers: {https://a: {areas: /, groups: /a, namespaces: urn:aa:b}}\nrequire: {one_of: [{capability: {otherwise: NOONE}}, " +
			"{vo: {required: urn:aa:b:group:c}}, {assurance: a & (b | +)}, {claim: {claim: a, required: [1, true, x], match: 2}}]}\n",
		"version: 1\nservices: {a: {rules: [{methods: GET, paths: /a, require: {subject: {issuer: https://a, sub: b}}}]}}\n", "? {a: b}\n: - !!x y\n",
	} {
		f.Add(s)
	}
	who := alice(f, claims.WLCG, `"scope":"storage.read:/a","wlcg.groups":["/a"],"entitlements":["urn:aa:b:group:c"]`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse("f", []byte(s))
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			return
		}
		for _, service := range append(p.Services(), "") {
			r := Request{service, "GET", "storage.read", "/a/f"}
			d, again := p.Decide(who, r), p.Decide(who, r)
			if d.Allowed != d.Tree.Yes || d.Allowed == (d.Reason != "") || d.Tree.String() != again.Tree.String() {
				t.Fatalf("%+v\n%+v", d, again)
			}
		}
	})
}

// TestReadFor: a requirement for one issuer needs nobody else named, lets nobody else in, and can be told.
func TestReadFor(t *testing.T) {
	for _, c := range []struct {
		name, text string
		who        Subject
		allowed    bool
		want       Overview
	}{
		{"everybody", "ANYONE", alice(t, "", ""), true, Overview{Everybody: true}},
		{"everybody_of_another", "ANYONE", at(alice(t, "", ""), other), false, Overview{Everybody: true}},
		{"person", "{subject: {sub: [bob, alice]}}", alice(t, "", ""), true, Overview{Persons: true}},
		{"person_of_another", "{subject: {sub: alice}}", at(alice(t, "", ""), other), false, Overview{Persons: true}},
		{
			"vos_or_person", "{one_of: [{vo: {required: ['urn:geant:h:group:a', 'urn:geant:h:group:b'], match: one}}, {subject: {sub: alice}}]}",
			alice(t, "", ""), true,
			Overview{Persons: true, VOs: []string{"urn:geant:h:group:a", "urn:geant:h:group:b"}, Match: "one"},
		},
		{
			"groups", "{vo: {claim: groups, required: [x, y]}}", alice(t, "", ""), false,
			Overview{VOs: []string{"x", "y"}, Match: "all"},
		},
		{
			"number", "{vo: {claim: groups, required: [x, y, z], match: 2}}", alice(t, "", ""), false,
			Overview{VOs: []string{"x", "y", "z"}, Match: "2"},
		},
		{"nobody", "NOONE", alice(t, "", ""), false, Overview{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := config.NewReader("f")
			p := ReadFor(r, r.Fields(r.Document([]byte("users: "+c.text)), "users")["users"], home)
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			if got := p.Decide(c.who, Request{}).Allowed; got != c.allowed {
				t.Errorf("allowed: %v", got)
			}
			if got := p.Overview(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("overview %+v, want %+v", got, c.want)
			}
		})
	}
	for name, text := range map[string]string{
		"level_not_there": "member", "storage": "{capability: storage.read}", "two_keys": "{scope: a, audience: b}",
	} {
		t.Run("fault/"+name, func(t *testing.T) {
			r := config.NewReader("f")
			ReadFor(r, r.Fields(r.Document([]byte("users: "+text)), "users")["users"], home)
			if r.Err() == nil {
				t.Error("it was taken")
			}
		})
	}
}

func at(s Subject, iss string) Subject {
	s.Issuer = iss
	return s
}
