package remote

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// three are issuers A, B and C; B owns the prefix "b-" and with it is not asked about others.
func three(t *testing.T) (s *Source, a, b, c *fake) {
	a, b, c = startFake(t), startFake(t), startFake(t)
	for _, f := range []*fake{a, b, c} {
		f.answers(say(200, set{"active": false}))
	}
	onlyPrefix := func(i *Issuer) { i.Opaque, i.Prefixes = false, []string{"b-", "x-long-b-"} }
	s = newSource(t, a.clock, a.issuer(func(i *Issuer) { i.Prefixes = []string{"x-"} }), b.issuer(onlyPrefix), c.issuer())
	return s, a, b, c
}

func TestWhose(t *testing.T) {
	asked := func(list ...*fake) (n [3]int) {
		for i, f := range list {
			n[i] = f.count("/introspect")
		}
		return n
	}
	for name, c := range map[string]struct {
		token, hint string // hint: of which of the three
		want        [3]int
	}{
		"hint":                         {"tok", "A", [3]int{1, 0, 0}},
		"hint_of_one_with_prefixes":    {"tok", "B", [3]int{0, 1, 0}},
		"prefix":                       {"b-tok", "", [3]int{0, 1, 0}},
		"longest_prefix":               {"x-long-b-tok", "", [3]int{0, 1, 0}},
		"shorter_prefix":               {"x-lon-tok", "", [3]int{1, 0, 0}},
		"all_who_take_opaque_tokens":   {"tok", "", [3]int{1, 0, 1}},
		"hint_is_stronger_than_prefix": {"b-tok", "C", [3]int{0, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, a, b, cc := three(t)
			hint := map[string]string{"A": a.URL, "B": b.URL, "C": cc.URL}[c.hint]
			_, _, err := s.Opaque(ask(t), []byte(c.token), hint)
			wantErr(t, err, ErrInactive)
			if got := asked(a, b, cc); got != c.want {
				t.Errorf("asked %v, want %v", got, c.want)
			}
		})
	}
	t.Run("hint_of_a_stranger_asks_nobody", func(t *testing.T) {
		s, a, b, c := three(t)
		evil := startFake(t)
		_, _, err := s.Opaque(ask(t), []byte("tok"), evil.URL)
		wantErr(t, err, ErrUntrusted)
		if asked(a, b, c) != [3]int{} || len(evil.calls) != 0 {
			t.Error("somebody was asked")
		}
	})
	t.Run("hint_of_an_issuer_without_opaque_tokens", func(t *testing.T) {
		f := startFake(t)
		s := f.source(t, func(i *Issuer) { i.Opaque = false })
		_, _, err := s.Opaque(ask(t), []byte("tok"), f.URL)
		wantErr(t, err, ErrUntrusted)
		_, _, err = s.Opaque(ask(t), []byte("tok"), "")
		wantErr(t, err, ErrUntrusted)
	})
	t.Run("who_said_yes_is_asked_alone_from_then_on", func(t *testing.T) {
		s, a, b, c := three(t)
		c.answers(say(200, c.active(nil)))
		for range 3 {
			iss, _, err := s.Opaque(ask(t), []byte("tok"), "")
			if err != nil || iss != c.URL {
				t.Fatal(iss, err)
			}
			a.add(DefaultCache)
		}
		if got := asked(a, b, c); got != [3]int{1, 0, 3} {
			t.Errorf("asked %v", got)
		}
	})
	t.Run("two_who_say_yes_are_one_too_many", func(t *testing.T) {
		s, a, _, c := three(t)
		a.answers(say(200, a.active(nil)))
		c.answers(say(200, c.active(set{"sub": "mallory"})))
		_, said, err := s.Opaque(ask(t), []byte("tok"), "")
		wantErr(t, err, ErrAmbiguous)
		if said.Claims.Subject != "" {
			t.Errorf("said %+v", said)
		}
	})
	t.Run("one_yes_is_enough_while_another_is_down", func(t *testing.T) {
		s, a, _, c := three(t)
		a.answers(say(503, nil))
		c.answers(say(200, c.active(nil)))
		if iss, _, err := s.Opaque(ask(t), []byte("tok"), ""); err != nil || iss != c.URL {
			t.Error(iss, err)
		}
	})
	t.Run("no_yes_while_another_is_down_decides_nothing", func(t *testing.T) {
		s, a, _, _ := three(t)
		a.answers(say(503, nil))
		_, _, err := s.Opaque(ask(t), []byte("tok"), "")
		wantErr(t, err, ErrUnavailable)
	})
	t.Run("nobody_can_speak_for_another_issuer", func(t *testing.T) {
		s, a, _, c := three(t)
		c.answers(say(200, c.active(set{"iss": a.URL})))
		_, _, err := s.Opaque(ask(t), []byte("tok"), "")
		wantErr(t, err, ErrContradiction)
	})
	t.Run("asked_at_once", func(t *testing.T) {
		s, a, _, c := three(t)
		var both sync.WaitGroup // each answers when the other was asked, too
		both.Add(2)
		for _, f := range []*fake{a, c} {
			f.answers(func(w http.ResponseWriter, r *http.Request) {
				both.Done()
				both.Wait()
				say(200, set{"active": false})(w, r)
			})
		}
		if _, _, err := s.Opaque(ask(t), []byte("tok"), ""); !errors.Is(err, ErrInactive) {
			t.Error(err)
		}
	})
}

// FuzzIsOpaque: what the strict reader takes for a JWS is never opaque.
func FuzzIsOpaque(f *testing.F) {
	for _, s := range []string{"eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "ya29.abc", "a.b.c", "a.b.c.d.e", "{}", "", "tok=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := jose.Parse(b); IsOpaque(b) && (err == nil || !errors.Is(err, jose.ErrShape)) {
			t.Errorf("%q counts as opaque, and as a JWS: %v", b, err)
		}
	})
}
