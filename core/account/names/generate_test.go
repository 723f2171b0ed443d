package names

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func free(string) (bool, error) { return false, nil }

func TestFriendlyOrder(t *testing.T) {
	p := Person{PreferredUsername: "Ally@Example.org", Given: "Alexandra", Family: "Müller", Email: "a.m@example.org"}
	want := strings.Fields(`ally-example_org alexandra alemuel mueller alexmuel alexamuel almuel alexmuell alexamuell almuell
		alexmuelle alexamuelle almuelle alexmue alexamue almue a_m-example_org`)
	if got := slices.Collect(Friendly{}.Propose(p)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestFriendlyParts(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Person
		want string
	}{
		{"nothing", Person{}, ""},
		{"given_alone", Person{Given: "Ann"}, "ann"},
		{"family_of_whole_name", Person{Name: "Ann Bo"}, "ann annbo bo"},
		{"one_word", Person{Name: "Cher"}, "cher"},
		{"several_given_names", Person{Name: "Anna Maria Bo"}, "anna_maria"},
		{"email_alone", Person{Email: "a@b.org"}, "a-b_org"},
		{"no_letters_left", Person{PreferredUsername: "北京", Email: "x@y"}, "x-y"},
		{"too_long", Person{PreferredUsername: strings.Repeat("a", 5000), Given: "Bo"}, "bo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := slices.Collect(Friendly{Shorten: Middle}.Propose(c.p))
			want := strings.Fields(c.want)
			if len(got) < len(want) || !slices.Equal(got[:len(want)], want) || len(want) == 0 && len(got) > 0 {
				t.Errorf("%q, want to begin %q", got, want)
			}
		})
	}
}

func TestCollisions(t *testing.T) {
	p := Person{PreferredUsername: "alice", Given: "Alice", Family: "Bloggs", Email: "alice@x.org"}
	used := map[string]bool{}
	var got []string
	for {
		name, err := Choose(Friendly{}.Propose(p), Limits{}, func(n string) (bool, error) { return used[n], nil })
		if err != nil {
			var none *NoNameError
			if !errors.As(err, &none) || !strings.HasPrefix(none.Message(),
				"I cannot create usernames. The list of tried ones is: alice, alibl") {
				t.Fatal(err)
			}
			break
		}
		if used[name] {
			t.Fatalf("%s was given twice", name)
		}
		used[name] = true
		got = append(got, name)
	}
	want := slices.Collect(Friendly{}.Propose(p))
	if !slices.Equal(got, want) || len(got) != 16 {
		t.Errorf("%d: %q, want %q", len(got), got, want)
	}
}

func TestChoose(t *testing.T) {
	t.Run("system_names_never", func(t *testing.T) {
		name, err := Choose(slices.Values([]string{"root", "docker", "director", "bob"}),
			Limits{Reserved: []string{"director"}}, free)
		if name != "bob" || err != nil {
			t.Errorf("%q, %v", name, err)
		}
	})
	t.Run("external_names_as_they_are_or_not", func(t *testing.T) {
		name, err := Choose(slices.Values(hostile()), Limits{}, free)
		if err == nil {
			safe(t, name)
		}
		var none *NoNameError
		if _, err := Choose(slices.Values([]string{"Bob", "-x", "a\nb"}), Limits{}, free); !errors.As(err, &none) ||
			len(none.Tried) > 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("look_up_that_fails_gives_no_name", func(t *testing.T) {
		broken := errors.New("directory is down")
		down := func(string) (bool, error) { return false, broken }
		if name, err := Choose(slices.Values([]string{"a", "b"}), Limits{}, down); name != "" || !errors.Is(err, broken) {
			t.Errorf("%q, %v", name, err)
		}
	})
	t.Run("list_of_tried_is_bounded", func(t *testing.T) {
		pool, err := NewPool("p", 4)
		if err != nil {
			t.Fatal(err)
		}
		var none *NoNameError
		_, err = Choose(pool.Propose(), Limits{}, func(string) (bool, error) { return true, nil })
		if !errors.As(err, &none) || len(none.Tried) != maxTried {
			t.Errorf("%v", err)
		}
	})
}

func TestPool(t *testing.T) {
	pool, err := NewPool("hpc", 3)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Collect(pool.Propose())
	if len(all) != 999 || all[0] != "hpc001" || all[998] != "hpc999" {
		t.Errorf("%d, %q ... %q", len(all), all[0], all[len(all)-1])
	}
	long, err := NewPool(strings.Repeat("p", 40), 2)
	if err != nil {
		t.Fatal(err)
	}
	for name := range long.Propose() {
		if len(name) != MaxLength {
			t.Errorf("%q", name)
		}
	}
	for _, c := range []struct {
		prefix string
		digits int
	}{{"", 3}, {"-a", 3}, {"1a", 3}, {"a b", 3}, {"a", 0}, {"a", 7}, {"_", 3}} {
		if _, err := NewPool(c.prefix, c.digits); !errors.Is(err, ErrRule) {
			t.Errorf("%q, %d: %v", c.prefix, c.digits, err)
		}
	}
	if got := slices.Collect((Pool{}).Propose()); len(got) != 0 {
		t.Errorf("the zero value proposes %q", got)
	}
}

func FuzzFriendly(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, "Ann", "Bo", "", "")
		f.Add("", s, s, "", s)
		f.Add("", "", "", s, s)
	}
	f.Fuzz(func(t *testing.T, preferred, given, family, whole, email string) {
		p := Person{preferred, given, family, whole, email}
		for _, how := range []Shorten{Digest, Middle, Front} {
			all := slices.Collect(Friendly{how}.Propose(p))
			if len(all) > 17 {
				t.Fatalf("%d candidates", len(all))
			}
			for i := range all {
				name, err := Choose(slices.Values(all[i:]), Limits{}, free)
				if err == nil {
					safe(t, name)
				}
			}
			if again := slices.Collect(Friendly{how}.Propose(p)); !slices.Equal(all, again) {
				t.Fatalf("%q, then %q", all, again)
			}
		}
	})
}
