package names

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// hostile are texts that providers and persons choose.
func hostile() []string {
	return []string{
		"", " ", "\x00", "a\x00b", "a\nb", "root\n", "root:x:0:0", "../../etc/passwd", "/etc/shadow", "..", ".", "-",
		"--", "-G", "--groups=sudo",
		"-o", "$(id)", "`id`", "a;id", "a|b", "a&&b", "a'b", `a"b`, "a\\b", "*", "?", "[a]", "{a,b}", "~root", "!", "%n", "%00", "\u202eroot",
		"ro\u200bot", "ｒｏｏｔ", "rооt", "ROOT", "Root", "root", "sudo", "wheel", "docker", "adm", "0", "1000", "007",
		"a,b", "a=b", "*)(uid=*",
		"cn=admin,dc=x", "北京", "€", "a\xffb", "\xff", "ÀÉÎ", "ﬁ", "İstanbul", "\u212aelvin", "😀", "a\u0308", "ＡＤＭＩＮ",
		"systemd-x", "dockerroot",
		strings.Repeat("a", 33), strings.Repeat("_", 33), strings.Repeat("-", 40), strings.Repeat("ä_", 50), strings.Repeat("x", 5000),
	}
}

func safe(t *testing.T, name string) {
	t.Helper()
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789_-."
	if name == "" || len(name) > 32 || strings.Trim(name, alphabet) != "" || strings.Contains("-.0123456789", name[:1]) {
		t.Errorf("%q left the alphabet", name)
	}
	for _, bad := range []string{"root", "sudo", "wheel", "docker", "adm", "daemon", "shadow", "disk", "nobody"} {
		if name == bad {
			t.Errorf("%q was given", name)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, name := range []string{
		"", "-a", "--help", ".", "..", ".a", "1", "1a", "a/b", "a b", "a\n", "a\x00", "a:b", "a,b", "A", "aB", "ä",
		"a$", "a@b", "a+b", "_", "__",
		"_.-", "a\u202e", strings.Repeat("a", 33),
	} {
		if err := Check(name); !errors.Is(err, ErrAlphabet) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "_1", "a-b_c.d9", "a..b", strings.Repeat("a", 32)} {
		if err := Check(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestReserved(t *testing.T) {
	if !slices.IsSorted(reservedNames[:]) {
		t.Fatal("the list is not sorted")
	}
	l := Limits{Reserved: []string{"director"}}
	for _, name := range append(reservedNames[:], "director", "docker", "sudoers", "systemd-journal",
		"oidcbox-pam", "libvirt-qemu", "wheel") {
		if err := l.CheckName(name); !errors.Is(err, ErrReserved) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"alice", "rooty", "admiral", "wheeler", "sudono", "director2"} {
		if err := l.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFloor(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Limits
		id   uint32
		ok   bool
	}{
		{"root", Limits{}, 0, false},
		{"below_default", Limits{}, 999, false},
		{"default", Limits{}, 1000, true},
		{"default_end", Limits{}, 60000, true},
		{"above_default", Limits{}, 60001, false},
		{"opened", Limits{MinUID: 500, MinGID: 500}, 500, true},
		{"never_below_the_hard_floor", Limits{MinUID: 1, MinGID: 1}, 499, false},
		{"directory", Limits{MaxUID: math.MaxUint32, MaxGID: math.MaxUint32}, 4_000_000, true},
		{"nobody", Limits{MaxUID: math.MaxUint32, MaxGID: math.MaxUint32}, 65534, false},
		{"minus_one_of_16_bits", Limits{MaxUID: math.MaxUint32, MaxGID: math.MaxUint32}, 65535, false},
		{"minus_two", Limits{MaxUID: math.MaxUint32, MaxGID: math.MaxUint32}, math.MaxUint32 - 1, false},
		{"minus_one", Limits{MaxUID: math.MaxUint32, MaxGID: math.MaxUint32}, math.MaxUint32, false},
		{"range_upside_down", Limits{MinUID: 3000, MaxUID: 2000, MinGID: 3000, MaxGID: 2000}, 2500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range []error{c.l.CheckUID(c.id), c.l.CheckGID(c.id)} {
				if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFloor) {
					t.Errorf("%v, want allowed %v", err, c.ok)
				}
			}
		})
	}
}

func TestConvert(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct {
		in, want string
		how      Shorten
	}{
		{"", "_", Middle},
		{"user$", "users", Middle},
		{"-user", "_-user", Middle},
		{"-" + a(30), "_-" + a(30), Middle},
		{"-" + a(31), "_" + a(31), Middle},
		{"-abcdef" + a(26), "_..def" + a(26), Middle},
		{"abcdef" + a(27), "__def" + a(27), Middle},
		{"€", "eur", Middle},
		{"Jürgen Groß", "juergen_gross", Middle},
		{"J. O'Neil", "j__o_neil", Middle},
		{"Łukasz", "lukasz", Middle},
		{"Иван", "ivan", Middle},
		{"Νίκος", "nikos", Middle},
		{"a@b.org", "a_at_b_org", Middle},
		{"A\u0308", "a", Middle},
		{"1st", "_1st", Middle},
		{"helmholtz-de_kit_helmholtz-member", "helmholtz-de_.._helmholtz-member", Middle},
		{"-user", "_user", Front},
		{"abcdefghij_abcdefghij_abcdefghij_abcdefghijk", "a.._abc.._abcdefghij_abcdefghijk", Front},
		{"helmholtz-de_kit_helmholtz-member", "helmholtz.._kit_helmholtz-member", Front},
		{a(32), a(32), Digest},
	} {
		if got, err := Convert(c.in, c.how); err != nil || got != c.want {
			t.Errorf("%q by %d: %q, %v; want %q", c.in, c.how, got, err, c.want)
		}
	}
	for _, how := range []Shorten{Middle, Front} {
		if got, err := Convert(strings.Repeat("_", 33), how); !errors.Is(err, ErrTooLong) {
			t.Errorf("33 underscores by %d: %q, %v", how, got, err)
		}
	}
}

func TestDigestKeepsApart(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{
		"helmholtz-de_kit_helmholtz-member", "helmholtz-de_abc_helmholtz-member", "helmholtz-de_kit_helmholtz-membes",
		strings.Repeat("a", 33), strings.Repeat("a", 34), strings.Repeat("_", 33),
	} {
		name, err := Convert(s, Digest)
		if err != nil || len(name) != MaxLength || !strings.Contains(name, ".") || seen[name] != "" {
			t.Errorf("%q: %q, %v, the same as %q", s, name, err, seen[name])
		}
		seen[name] = s
		if again, err := Convert(name, Digest); err != nil || again == name {
			t.Errorf("a text that looks like a shortened one stays %q, %v", again, err)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, 0)
		f.Add(s, 1)
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, how int) {
		name, err := Convert(s, Shorten(how))
		if err != nil {
			if name != "" || !errors.Is(err, ErrTooLong) {
				t.Fatalf("%q: %q, %v", s, name, err)
			}
			return
		}
		if strings.Trim(name, "_-.") != "" {
			if err := Check(name); err != nil {
				t.Fatalf("%q: %q: %v", s, name, err)
			}
		}
		if again, _ := Convert(s, Shorten(how)); again != name {
			t.Fatalf("%q: %q, then %q", s, name, again)
		}
	})
}

func TestEncode(t *testing.T) {
	for want, id := range map[string][2]string{
		"a@https%3A%2F%2Fop.example%2F": {"a", "https://op.example/"},
		"a+b%2B%40%25@~_.-":             {"a b+@%", "~_.-"},
		"%00%0A%3A%2C%26@%C3%A4%FF":     {"\x00\n:,&", "ä\xff"},
	} {
		if got, err := Encode(id[0], id[1]); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", id, got, err, want)
		}
	}
	for _, id := range [][2]string{
		{"", "i"},
		{"s", ""},
		{strings.Repeat("s", MaxSub+1), "i"},
		{"s", strings.Repeat("i", MaxIss+1)},
	} {
		if got, err := Encode(id[0], id[1]); got != "" || !errors.Is(err, ErrIdentity) {
			t.Errorf("%.10q: %q, %v", id, got, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing": "", "no_at": "a", "two_ats": "a@b@c", "no_sub": "@b", "no_iss": "a@", "lower_case_hex": "a%3a@b",
		"blank_as_triplet":  "a%20b@c",
		"letter_as_triplet": "%61@b", "half_triplet": "a%2@b", "bare_percent": "a%@b", "no_hex": "a%GG@b",
		"plain_colon":     "a@https://b",
		"trailing_commas": "a@b,,,", "line_break": "a@b\n", "blank": "a b@c", "a_real_gecos": "Alice Example,,,",
		"not_ascii": "ä@b",
		"too_long":  strings.Repeat("a", 3*MaxSub+1) + "@b",
	} {
		t.Run(name, func(t *testing.T) {
			if sub, iss, err := Decode(s); !errors.Is(err, ErrIdentity) || sub != "" || iss != "" {
				t.Errorf("%q, %q, %v", sub, iss, err)
			}
		})
	}
}

// TestEncodeInjective takes all pairs of short texts over the characters that mean something in the form.
func TestEncodeInjective(t *testing.T) {
	parts := []string{}
	for _, a := range []string{"", "a", "@", "%", "+", " ", "4", "0", "%40", "\x00"} {
		for _, b := range []string{"a", "@", "%", "+", " ", "4", "0", "2B", "\n", "ä"} {
			parts = append(parts, a+b)
		}
	}
	slices.Sort(parts)
	parts = slices.Compact(parts)
	seen := map[string][2]string{}
	for _, sub := range parts {
		for _, iss := range parts {
			text, err := Encode(sub, iss)
			if other, twice := seen[text]; twice || err != nil {
				t.Fatalf("%q %q and %q: %q, %v", sub, iss, other, text, err)
			}
			seen[text] = [2]string{sub, iss}
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, "https://op.example")
		f.Add("a", s)
	}
	f.Fuzz(func(t *testing.T, sub, iss string) {
		text, err := Encode(sub, iss)
		if possible := sub != "" && iss != "" && len(sub) <= MaxSub && len(iss) <= MaxIss; possible != (err == nil) {
			t.Fatalf("%q %q: %v", sub, iss, err)
		}
		if err == nil {
			s, i, err := Decode(text)
			if err != nil || s != sub || i != iss || strings.ContainsAny(text, ":,&\n()*\\\x00 ") {
				t.Fatalf("%q %q: %q gives %q %q, %v", sub, iss, text, s, i, err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("a+b%2B@https%3A%2F%2Fop.example")
	f.Add("a%2@b")
	f.Fuzz(func(t *testing.T, s string) {
		sub, iss, err := Decode(s)
		if err != nil {
			return
		}
		if again, err := Encode(sub, iss); err != nil || again != s {
			t.Fatalf("%q: %q %q: %q, %v", s, sub, iss, again, err)
		}
	})
}
