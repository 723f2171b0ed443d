package assurance

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing": "", "space": " \n", "open": "(a", "close": "a)", "empty_parentheses": "()", "and_at_end": "a &", "and_at_start": "& a",
		"double_or": "a || b", "two_words": "a b", "slash_first": "/IAP/low", "control": "a\x01", "not_ascii": "ä",
		"deep": strings.Repeat("(", MaxDepth+1) + "a" + strings.Repeat(")", MaxDepth+1), "long": strings.Repeat("a", MaxLength+1),
		"open_only": strings.Repeat("(", MaxLength),
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := Parse(s); !errors.Is(err, ErrExpression) || e.Op != Never {
				t.Errorf("%v, %v", e, err)
			}
		})
	}
}

func TestSatisfied(t *testing.T) {
	raf := func(words ...string) []string {
		list := []string{Base}
		for _, w := range words {
			list = append(list, Base+"/"+w)
		}
		return list
	}
	const birch = "https://igtf.net/ap/authn-assurance/birch"
	for _, c := range []struct {
		name, expr string
		values     []string
		want       bool
	}{
		{"value", "IAP/low", raf("IAP/low"), true},
		{"whole_strings_only", "IAP/low", raf("IAP/lower"), false},
		{"case_counts", "IAP/low", raf("iap/low"), false},
		{"without_base", "IAP/low", []string{Base + "/IAP/low"}, false},
		{"foreign_value_without_base", birch, []string{birch}, true},
		{"foreign_value_is_not_in_raf", birch, raf("birch"), false},
		{"high_implies_medium", "IAP/medium", raf("IAP/high"), true},
		{"high_implies_low", "IAP/low", raf("IAP/high"), true},
		{"medium_implies_low", "IAP/low", raf("IAP/medium"), true},
		{"medium_is_not_high", "IAP/high", raf("IAP/medium"), false},
		{"local_enterprise_is_no_step", "IAP/low", raf("IAP/local-enterprise"), false},
		{"profile_not_from_its_parts", "profile/cappuccino", raf("ID/unique", "IAP/medium", "ATP/ePA-1m"), false},
		{"espresso_is_not_cappuccino", "profile/cappuccino", raf("profile/espresso"), false},
		{"and", "ID/unique & IAP/medium", raf("ID/unique"), false},
		{"three_conjuncts", "ID/unique & IAP/low & ATP/ePA-1d", raf("ID/unique", "IAP/low", "ATP/ePA-1d"), true},
		{"and_binds_tighter", "profile/espresso | ID/unique & IAP/low", raf("profile/espresso"), true},
		{"and_binds_tighter_on_the_left", "ID/unique & IAP/low | profile/espresso", raf("profile/espresso"), true},
		{"parentheses", "(profile/espresso | ID/unique) & IAP/low", raf("profile/espresso"), false},
		{"nested", "((a | (b & (c | d))))", raf("b", "d"), true},
		{"any_with_one", "+", []string{"x"}, true},
		{"any_with_none", "+", nil, false},
		{"always", "*", nil, true},
		{"always_in_and", "* & IAP/low", nil, false},
		{"base_itself", Base, []string{Base}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			if got := NewValues(c.values).Satisfied(e); got != c.want {
				t.Errorf("%s: %v, want %v", e, got, c.want)
			}
		})
	}
	for _, e := range []Expr{{}, {Op: All}, {Op: One}} {
		if NewValues(raf("IAP/low")).Satisfied(e) {
			t.Errorf("empty %v is satisfied", e.Op)
		}
	}
	lax := NewValues([]string{Base + "/IAP/low"})
	lax.LaxBase = true
	if !lax.Asserted(Base + "/IAP/low") {
		t.Error("lax: not asserted")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a & b | c", "((*))", "+|(a&https://x)", "https://refeds.org/assurance/+"} {
		f.Add(s)
	}
	values := NewValues([]string{Base, Base + "/a", Base + "/IAP/high"})
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(e.String())
		if err != nil && len(e.String()) > MaxLength {
			return // parentheses that say what was implied
		}
		if err != nil || again.String() != e.String() || values.Satisfied(e) != values.Satisfied(again) {
			t.Fatalf("%q -> %q -> %q, %v", s, e, again, err)
		}
	})
}
