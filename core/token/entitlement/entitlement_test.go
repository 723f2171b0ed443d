package entitlement

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing": "", "no_group": "urn:geant:h-df.de:x", "group_without_name": "urn:geant:h-df.de:group:",
		"role_without_group": "urn:geant:h-df.de:group:role=a", "role_in_the_middle": "urn:geant:h-df.de:group:a:role=b:c",
		"two_roles": "urn:geant:h-df.de:group:a:role=b:role=c", "empty_role": "urn:geant:h-df.de:group:a:role=",
		"empty_part": "urn:geant:h-df.de:group:a::b", "empty_subnamespace": "urn:geant:h-df.de::group:a",
		"no_delegated_namespace": "urn:geant:group:a", "namespace_called_group": "urn:geant:group:group:a",
		"broken_triplet": "urn:geant:h-df.de:group:a%2", "triplet_of_no_hex": "urn:geant:h-df.de:group:a%zz",
		"space": "urn:geant:h-df.de:group:a b", "line_break": "urn:geant:h-df.de:group:a\n", "nul": "urn:geant:h-df.de:group:\x00",
		"not_ascii": "urn:geant:h-df.de:group:ä", "empty_authority": "urn:geant:h-df.de:group:a#",
		"line_break_in_authority": "urn:geant:h-df.de:group:a#b\nc", "nid_of_one": "urn:g:h-df.de:group:a",
		"nid_with_dot": "urn:g.t:h-df.de:group:a", "question_in_group": "urn:geant:h-df.de:group:a?=b",
		"group_in_capitals": "urn:geant:h-df.de:GROUP:a", "too_long": "urn:geant:x:group:" + strings.Repeat("a", MaxLength),
		"leading_space": " urn:geant:h-df.de:group:a",
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := Parse(s); !errors.Is(err, ErrForm) || e.String() != "" {
				t.Errorf("Parse(%q) = %v, %v; want ErrForm", s, e, err)
			}
		})
	}
}

func must(t *testing.T, s string) Entitlement {
	t.Helper()
	e, err := Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return e
}

func TestVectors(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/jwt/aarc_entitlements.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Relations []struct {
			ID, Required, Actual string
			Equal                bool
			Satisfies            bool `json:"actual_satisfies_required"`
			Reverse              bool `json:"required_satisfies_actual"`
		}
		Normalisation []struct {
			ID, Raw, Normal string
			Same            bool
		}
		Parse []struct {
			ID, Raw string
			Parses  bool
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Relations) == 0 || len(v.Normalisation) == 0 || len(v.Parse) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.Relations {
		r, a := must(t, c.Required), must(t, c.Actual)
		if a.Satisfies(r, false) != c.Satisfies || r.Satisfies(a, false) != c.Reverse || a.Equal(r) != c.Equal {
			t.Errorf("%s: %v %v %v", c.ID, a.Satisfies(r, false), r.Satisfies(a, false), a.Equal(r))
		}
	}
	for _, c := range v.Normalisation {
		if same := must(t, c.Raw).String() == c.Normal; same != c.Same {
			t.Errorf("%s: %v, want %v", c.ID, same, c.Same)
		}
	}
	for _, c := range v.Parse {
		if _, err := Parse(c.Raw); (err == nil) != c.Parses {
			t.Errorf("%s: %q: %v, want parses %v", c.ID, c.Raw, err, c.Parses)
		}
	}
}

func TestSatisfies(t *testing.T) {
	for _, c := range []struct {
		name, required, actual string
		lax, strict            bool
	}{
		{"same", "a:group:x", "a:group:x", true, true},
		{"other_group", "a:group:x", "a:group:xy", false, false},
		{"case_of_group_counts", "a:group:x", "a:group:X", false, false},
		{"case_of_namespace_does_not", "A:group:x", "a:group:x", true, true},
		{"case_of_role_counts", "a:group:x:role=m", "a:group:x:role=M", false, false},
		{"subgroup_is_in_group", "a:group:x", "a:group:x:y", true, true},
		{"group_is_not_in_subgroup", "a:group:x:y", "a:group:x", false, false},
		{"any_role_when_none_required", "a:group:x", "a:group:x:role=m", true, true},
		{"any_role_in_subgroup", "a:group:x", "a:group:x:y:role=m", true, true},
		{"role_required", "a:group:x:role=m", "a:group:x", false, false},
		{"role_in_subgroup_is_none_in_group", "a:group:x:role=m", "a:group:x:y:role=m", false, false},
		{"subnamespace_below", "a:group:x", "a:evil:group:x", true, false},
		{"subnamespace_above", "a:good:group:x", "a:group:x", false, false},
		{"subnamespace_same", "a:b:c:group:x", "a:b:c:group:x", true, true},
		{"delegated_differs", "a:group:x", "ab:group:x", false, false},
		{"triplets_without_case", "a:group:x%2f", "a:group:x%2F", true, true},
		{"triplet_is_not_its_character", "a:group:x%2Dy", "a:group:x-y", false, false},
		{"authority_ignored", "a:group:x#one", "a:group:x#two", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, a := must(t, "urn:geant:"+c.required), must(t, "urn:geant:"+c.actual)
			if a.Satisfies(r, false) != c.lax || a.Satisfies(r, true) != c.strict {
				t.Errorf("lax %v, strict %v", a.Satisfies(r, false), a.Satisfies(r, true))
			}
		})
	}
	if (Entitlement{}).Satisfies(Entitlement{}, false) {
		t.Error("none satisfies none")
	}
}

func TestFormG002(t *testing.T) {
	const encoded = "urn%3Ageant:h-df.de:group:Minun%20Ryhm%C3%A4ni"
	e, err := ParseForm(encoded, G002)
	if err != nil || e.String() != "urn:geant:h-df.de:group:Minun Ryhmäni" {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := ParseForm(encoded, G002Strict); !errors.Is(err, ErrAuthority) {
		t.Errorf("without authority: %v", err)
	}
	if e, err := ParseForm(encoded+"#aai", G002Strict); err != nil || e.Authority() != "aai" {
		t.Errorf("with authority: %v, %v", e, err)
	}
	for _, s := range []string{"urn:geant:x:group:a%0A", "urn:geant:x:group:%", "urn:geant:x:group:a%3A%3Ab"} {
		if _, err := ParseForm(s, G002); !errors.Is(err, ErrForm) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"urn:geant:h-df.de:a:group:x:y:role=m#z", "urn:nid:example.org?+foo#baz:group:g", "UrN:NiD:E:group:%c3%a4", "", ":group:",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = ParseForm(s, G002)
		e, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(e.String())
		if err != nil || again.String() != e.String() || !again.Equal(e) || !e.Satisfies(again, true) || !again.Satisfies(e, true) {
			t.Fatalf("%q -> %q -> %q, %v", s, e, again, err)
		}
	})
}
