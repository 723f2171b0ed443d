package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestParseFaults holds that every fault is said with its line and key, and that one hides no other.
func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string // "LINE KEY|part of the text"
	}{
		{"empty", "", []string{"0 |empty"}},
		{"comment_only", "# nothing\n", []string{"0 |empty"}},
		{"no_mapping", "- a\n", []string{"1 |mapping"}},
		{"null", "~\n", []string{"1 |mapping"}},
		{"no_yaml", "version: 1\nrequire: [a\n", []string{"|not YAML"}},
		{"tab", "version: 1\n\trequire: ANYONE\n", []string{"|not YAML"}},
		{"not_utf8", "version: 1\nrequire: \"\xff\"\n", []string{"|not YAML"}},
		{"two_documents", "version: 1\nrequire: ANYONE\n---\nversion: 1\n", []string{"|second document"}},
		{"version_missing", "require: ANYONE\n", []string{"1 |version is missing"}},
		{"version_unknown", "version: 2\nrequire: ANYONE\n", []string{"1 version|not known"}},
		{"version_text", "version: \"1\"\nrequire: ANYONE\n", []string{"1 version|whole number"}},
		{"nothing_allowed", "version: 1\n", []string{"1 |nothing can be allowed"}},
		{"unknown_keys_all", "version: 1\nrequire: ANYONE\nfoo: 1\nbar: 2\n", []string{"3 foo|unknown key", "4 bar|unknown key"}},
		{"duplicate_key", "version: 1\nrequire: NOONE\nrequire: ANYONE\n", []string{"3 require|first in line 2"}},
		{
			"duplicate_deep", "version: 1\nrequire:\n  claim:\n    claim: a\n    required: b\n    required: c\n",
			[]string{"6 require.claim.required|twice"},
		},
		{"key_no_text", "version: 1\nrequire: ANYONE\n1: x\n", []string{"3 |no plain text"}},
		{"key_is_list", "version: 1\nrequire: ANYONE\n? [a]\n: x\n", []string{"3 |no plain text"}},
		{"merge_key", "version: 1\n<<: {require: ANYONE}\n", []string{"2 |no plain text", "1 |nothing can be"}},
		{"anchor", "version: 1\nrequire: &a ANYONE\n", []string{"2 require|anchors"}},
		{
			"alias", "version: 1\nlevels:\n  a: &x IDENTIFIED\nrequire: *x\nfoo: 1\n",
			[]string{"3 levels.a|anchors", "4 require|aliases", "5 foo|unknown key"},
		},
		{"tag", "version: 1\nrequire: !!str ANYONE\n", []string{"2 require|tags"}},
		{"own_tag", "version: 1\nrequire: !exec ANYONE\n", []string{"2 require|tags"}},
		{"require_list", "version: 1\nrequire: [ANYONE]\n", []string{"2 require|all_of or one_of"}},
		{"require_two", "version: 1\nrequire: {issuer: https://a, scope: b}\n", []string{"2 require|exactly one key"}},
		{"require_empty", "version: 1\nrequire: {}\n", []string{"2 require|exactly one key"}},
		{"require_null", "version: 1\nrequire:\n", []string{"2 require|text"}},
		{"no_level", "version: 1\nrequire: {all_of: [ANYONE, staff]}\n", []string{`2 require.all_of[1]|no level "staff"`}},
		{"level_redefined", "version: 1\nlevels: {ANYONE: NOONE}\nrequire: ANYONE\n", []string{"2 levels.ANYONE|always there"}},
		{"level_circle", "version: 1\nlevels:\n  a: b\n  b: a\nrequire: a\n", []string{"3 levels.a|circle", "4 levels.b|circle"}},
		{"n_too_many", "version: 1\nrequire: {n_of: {n: 2, of: [ANYONE]}}\n", []string{"2 require.n_of.n|more than"}},
		{"n_zero", "version: 1\nrequire: {n_of: {n: 0, of: [ANYONE]}}\n", []string{"2 require.n_of.n|1 or more"}},
		{"n_missing", "version: 1\nrequire: {n_of: {of: [ANYONE]}}\n", []string{"2 require.n_of|n is missing"}},
		{"issuer_no_url", "version: 1\nrequire: {issuer: example.org}\n", []string{"2 require.issuer|URL"}},
		{"subject_incomplete", "version: 1\nrequire: {subject: {sub: a}}\n", []string{"2 require.subject|issuer is missing"}},
		{"subject_number", "version: 1\nrequire: {subject: {issuer: https://a, sub: 1}}\n", []string{"2 require.subject.sub|text"}},
		{"claim_match", "version: 1\nrequire: {claim: {claim: a, required: b, match: most}}\n", []string{"2 require.claim.match|all, one"}},
		{"claim_match_many", "version: 1\nrequire: {claim: {claim: a, required: b, match: 2}}\n", []string{"match|more than"}},
		{"claim_float", "version: 1\nrequire: {claim: {claim: a, required: 1.5}}\n", []string{"2 require.claim.required|text"}},
		{"claim_hex", "version: 1\nrequire: {claim: {claim: a, required: 0x10}}\n", []string{"required|as JSON"}},
		{"claim_nothing", "version: 1\nrequire: {claim: {claim: a, required: []}}\n", []string{"required|empty"}},
		{
			"claim_for_entitlements", "version: 1\nrequire: {claim: {claim: entitlements, required: b}}\n",
			[]string{"2 require.claim.claim|need vo"},
		},
		{
			"vo_unbound", "version: 1\nrequire: {vo: {required: \"urn:geant:h-df.de:group:x\"}}\n",
			[]string{"2 require.vo.required|no issuer may assert"},
		},
		{"vo_plain_unbound", "version: 1\nrequire: {vo: {required: x}}\n", []string{"2 require.vo.required|bound to no issuer"}},
		{"vo_no_group", "version: 1\nrequire: {vo: {required: wlcg, claim: wlcg.groups}}\n", []string{"required|no group"}},
		{"assurance", "version: 1\nrequire: {assurance: \"IAP/low &\"}\n", []string{"2 require.assurance|column 10"}},
		{"scope_number", "version: 1\nrequire: {scope: 7}\n", []string{"2 require.scope|text"}},
		{"operation", "version: 1\nrequire: {capability: storage.delete}\n", []string{"2 require.capability|no operation"}},
		{"no_areas", "version: 1\nrequire: {capability: storage.read}\n", []string{"2 require.capability|no issuer has areas"}},
		{"area", "version: 1\nissuers: {https://a: {areas: /a/../b}}\nrequire: ANYONE\n", []string{"2 issuers.https://a.areas|without .."}},
		{"namespace", "version: 1\nissuers: {https://a: {namespaces: geant}}\nrequire: ANYONE\n", []string{"namespaces|no namespace"}},
		{"rule_for_all", "version: 1\nrules: [{require: ANYONE}]\n", []string{"2 rules[0]|for some methods"}},
		{"rule_without", "version: 1\nrules: [{methods: GET}]\n", []string{"2 rules[0]|require is missing"}},
		{"service_empty", "version: 1\nservices: {a: {}}\n", []string{"2 services.a|neither require nor rules"}},
		{
			"many_at_once", "version: 1\nservices:\n  s:\n    rules:\n      - paths: x\n        require: nobody\n    require: {isuer: a}\nlevls: 1\n",
			[]string{"5 services.s.rules[0].paths|no absolute", "6 services.s.rules[0].require|no level", "7 services.s.require.isuer|unknown", "8 levls|unknown"},
		},
		{"deep", "version: 1\nrequire: " + strings.Repeat("{all_of: [", 40) + strings.Repeat("]}", 40), []string{"|deeper than"}},
		{"very_deep", "version: 1\nrequire: " + strings.Repeat("[", 100000), []string{"|"}},
		{"long", strings.Repeat("#", MaxSize+1), []string{"0 |longer"}},
		{"many_nodes", "version: 1\nrequire: ANYONE\nlevels: {a: {all_of: [" + strings.Repeat("ANYONE,", 20000) + "]}}", []string{"|more than 20000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			p, err := Parse("p.yaml", []byte(c.file))
			var faults Faults
			if !errors.As(err, &faults) || p != nil {
				t.Fatalf("accepted: %v, %v", p, err)
			}
			for _, want := range c.want {
				place, text, _ := strings.Cut(want, "|")
				if !someFault(faults, place, text) {
					t.Errorf("no %q in\n%v", want, faults)
				}
			}
			if len(faults) > 100 || len(faults) < len(c.want) {
				t.Errorf("%d faults:\n%v", len(faults), faults)
			}
			if d := time.Since(began); d > 30*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func someFault(faults Faults, place, text string) bool {
	for _, f := range faults {
		at := fmt.Sprintf("%d %s", f.Line, f.Key)
		if strings.HasSuffix(at, place) && strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}

// TestAliasBomb: nine levels of ten aliases each, in YAML and in levels of our own; the second is a valid policy and
// decided once per level.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nlevels:\n  a0: &a0 {all_of: [ANYONE]}\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "  a%d: &a%[1]d {all_of: [%s]}\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	b.WriteString("require: *a9\n")
	if _, err := Parse("bomb", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Errorf("aliases: %v", err)
	}
	b.Reset()
	b.WriteString("version: 1\nlevels:\n  a0: {all_of: [ANYONE]}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "  a%d: {all_of: [%s]}\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("a%d, ", i-1), 10), ", "))
	}
	b.WriteString("require: a29\n")
	p, err := Parse("levels", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(Subject{}, Request{})
	if n := strings.Count(d.Tree.String(), "\n"); !d.Allowed || n > 1000 {
		t.Errorf("allowed %v, %d lines", d.Allowed, n)
	}
	long := strings.Replace(b.String(), "require: a29", "  b0: a29\n  b1: b0\n  b2: b1\n  b3: b2\nrequire: b3", 1)
	if _, err := Parse("levels", []byte(long)); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("depth of levels: %v", err)
	}
}

// TestShadowedRules: a rule that no request can reach is a mistake, and where it is the stricter one, a hole.
func TestShadowedRules(t *testing.T) {
	for name, c := range map[string]struct {
		rules string
		line  string // of the fault; "": none
	}{
		"a directory inside another": {"{paths: [/a], require: ANYONE}, {paths: [/a/admin], require: NOONE}", "rule 1"},
		"the other way round":        {"{paths: [/a/admin], require: NOONE}, {paths: [/a], require: ANYONE}", ""},
		"beside it":                  {"{paths: [/a], require: ANYONE}, {paths: [/ab], require: NOONE}", ""},
		"one of two":                 {"{paths: [/a], require: ANYONE}, {paths: [/a/x, /b], require: NOONE}", ""},
		"by method": {
			"{methods: [GET, PUT], require: ANYONE}, {methods: [put], paths: [/x], require: NOONE}", "rule 1",
		},
		"another method": {"{methods: [GET], require: ANYONE}, {methods: [PUT], paths: [/x], require: NOONE}", ""},
		"more methods":   {"{methods: [GET], paths: [/x], require: ANYONE}, {paths: [/x], require: NOONE}", ""},
		"by operation": {
			"{paths: [/q], require: NOONE}, {operations: [storage.read], require: ANYONE}, " +
				"{operations: [storage.read], paths: [/x], require: NOONE}", "rule 2",
		},
		"twice the same": {"{paths: [/a], require: ANYONE}, {paths: [/a/], require: NOONE}", "rule 1"},
	} {
		_, err := Parse("p.yaml", []byte("version: 1\nservices: {x: {rules: ["+c.rules+"], require: IDENTIFIED}}\n"))
		if (err == nil) != (c.line == "") || err != nil && !strings.Contains(err.Error(), c.line+" before it decides") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
