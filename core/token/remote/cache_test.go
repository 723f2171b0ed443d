package remote

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

func plain(f *fake) set { return f.active(nil) }

func person(*fake) set { return set{"sub": "alice"} }

// TestHowLong: an answer is used until the token ends, until the configured time is over or for a minute, whatever
// comes first; a refusal for seconds.
func TestHowLong(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*Issuer)
		answer func(f *fake) set
		signed bool
		want   time.Duration
	}{
		"a_minute":             {nil, plain, false, time.Minute},
		"as_configured":        {func(i *Issuer) { i.Cache = 20 * time.Second }, plain, false, 20 * time.Second},
		"longer_as_configured": {func(i *Issuer) { i.Cache = 10 * time.Minute }, plain, false, 10 * time.Minute},
		"until_exp_of_the_answer": {
			nil, func(f *fake) set { return f.active(set{"exp": start.Unix() + 7}) }, false, 7 * time.Second,
		},
		"until_exp_of_the_signed_token": {func(i *Issuer) { i.Cache = time.Hour }, plain, true, 10 * time.Minute},
		"without_exp":                   {nil, func(f *fake) set { return f.active(set{"exp": nil}) }, false, time.Minute},
		"userinfo_about_a_signed_token": {onlyUserinfo, person, true, time.Minute},
		"userinfo_about_an_opaque_one":  {onlyUserinfo, person, false, UserinfoCache},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.answers(say(200, c.answer(f)))
			f.person(say(200, c.answer(f)))
			if c.edit == nil {
				c.edit = func(*Issuer) {}
			}
			s := f.source(t, c.edit)
			once := func() (Said, error) {
				if c.signed {
					return s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed())
				}
				_, said, err := s.Opaque(ask(t), []byte(opaque), "")
				return said, err
			}
			questions := func() int { return f.count("/introspect") + f.count("/userinfo") }
			said, err := once()
			if err != nil || !said.Expires.Equal(start.Add(c.want)) {
				t.Fatalf("until %v after now, want %v (%v)", said.Expires.Sub(start), c.want, err)
			}
			f.add(c.want - time.Nanosecond)
			if _, err := once(); err != nil || questions() != 1 {
				t.Errorf("just before: %d questions, %v", questions(), err)
			}
			f.add(time.Nanosecond)
			if _, _ = once(); questions() != 2 && !c.signed {
				t.Errorf("then: %d questions", questions())
			}
		})
	}
	t.Run("inactive_for_seconds", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, set{"active": false}))
		s := f.source(t)
		for range 5 {
			_, _, err := s.Opaque(ask(t), []byte(opaque), "")
			wantErr(t, err, ErrInactive)
			f.add(time.Second - time.Millisecond)
		}
		if n := f.count("/introspect"); n != 1 {
			t.Errorf("%d questions within five seconds", n)
		}
		f.answers(say(200, f.active(nil)))
		f.add(time.Second)
		if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("revoked_after_the_cache_time", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(nil)))
		s := f.source(t)
		if _, err := s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed()); err != nil {
			t.Fatal(err)
		}
		f.answers(say(200, set{"active": false}))
		f.add(DefaultCache)
		_, err := s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed())
		wantErr(t, err, ErrInactive)
		f.add(keepInactive)
		_, err = s.Ask(ask(t), f.URL, []byte("a.signed.token"), f.signed())
		wantErr(t, err, ErrInactive)
	})
	t.Run("no_old_answer_while_the_issuer_is_down", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(nil)))
		s := f.source(t)
		if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
			t.Fatal(err)
		}
		f.answers(say(503, nil))
		f.add(DefaultCache)
		_, _, err := s.Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrUnavailable)
	})
	t.Run("clock_set_back", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(nil)))
		s := f.source(t)
		f.add(-time.Hour)
		for range 3 {
			if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestPause: an issuer in trouble is left alone, longer each time, and one bad answer about one token pauses nobody.
func TestPause(t *testing.T) {
	tokens := func(n int) []byte { return append([]byte("token-"), byte('a'+n)) }
	t.Run("discovery_fails", func(t *testing.T) {
		f := startFake(t)
		good := f.discovery
		f.discovers(say(500, nil))
		s := f.source(t)
		var waits []time.Duration
		for i := range 8 {
			_, _, err := s.Opaque(ask(t), tokens(i), "")
			var e *UnavailableError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			waits = append(waits, e.RetryAfter)
			asked := f.count("/.well-known/openid-configuration")
			_, _, err = s.Opaque(ask(t), []byte("another"), "")
			wantErr(t, err, ErrUnavailable)
			if f.count("/.well-known/openid-configuration") != asked {
				t.Fatal("asked again at once")
			}
			f.add(e.RetryAfter)
		}
		if waits[0] != minPause || waits[1] != 2*minPause || waits[7] != maxPause {
			t.Errorf("pauses: %v", waits)
		}
		f.discovers(good)
		f.answers(say(200, f.active(nil)))
		if _, _, err := s.Opaque(ask(t), []byte("another"), ""); err != nil {
			t.Errorf("after it has come back: %v", err)
		}
	})
	t.Run("endpoint_is_down", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(502, nil))
		s := f.source(t)
		for i := range 6 {
			_, _, err := s.Opaque(ask(t), tokens(i), "")
			wantErr(t, err, ErrUnavailable)
		}
		if n := f.count("/introspect"); n != toPause {
			t.Errorf("%d questions", n)
		}
		st := s.Stats()[0]
		if st.Calls != toPause || st.Failures != toPause || st.Trouble == nil || !st.Paused.After(f.Now()) {
			t.Errorf("%+v", st)
		}
	})
	t.Run("as_long_as_it_asks_for", func(t *testing.T) {
		f := startFake(t)
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "12")
			say(429, nil)(w, r)
		})
		s := f.source(t)
		for i := range 3 {
			_, _, err := s.Opaque(ask(t), tokens(i), "")
			var e *UnavailableError
			if !errors.As(err, &e) || e.RetryAfter != 12*time.Second {
				t.Errorf("%v", err)
			}
		}
		if n := f.count("/introspect"); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
	t.Run("client_is_refused", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(401, set{"error": "invalid_client"}))
		s := f.source(t)
		for i := range 5 {
			_, _, err := s.Opaque(ask(t), tokens(i), "")
			wantErr(t, err, ErrClient, ErrUnavailable)
			f.add(time.Second)
		}
		if n := f.count("/introspect"); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
	for _, status := range []int{400, 403, 404, 413, 500} {
		t.Run("one_token_alone_"+http.StatusText(status), func(t *testing.T) {
			f := startFake(t)
			f.answers(say(status, nil))
			s := f.source(t)
			for i := range 10 {
				_, _, err := s.Opaque(ask(t), tokens(i), "")
				wantErr(t, err, ErrUnavailable)
			}
			f.answers(say(200, f.active(nil)))
			if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
				t.Errorf("another token: %v", err)
			}
		})
	}
	t.Run("endpoints_are_kept_when_discovery_fails_later", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(set{"exp": nil})))
		s := f.source(t)
		if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
			t.Fatal(err)
		}
		f.discovers(say(500, nil))
		f.add(2 * maxMetadata)
		if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("moved_endpoint_is_found", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(set{"exp": nil})))
		s := f.source(t)
		if _, _, err := s.Opaque(ask(t), []byte(opaque), ""); err != nil {
			t.Fatal(err)
		}
		f.discovers(say(200, set{"issuer": f.URL}))
		f.add(2 * maxMetadata)
		_, _, err := s.Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrUnavailable, flow.ErrNoEndpoint)
	})
}

func TestBudget(t *testing.T) {
	t.Run("burst_then_rate", func(t *testing.T) {
		b, now := newBudget(10), start
		n := 0
		for range 100 {
			if b.take(now, 1) == 0 {
				n++
			}
		}
		if n != 20 {
			t.Errorf("%d at once, want 20", n)
		}
		if wait := b.take(now, 1); wait <= 0 || wait > 100*time.Millisecond {
			t.Errorf("wait %v", wait)
		}
		if wait := b.take(now.Add(100*time.Millisecond), 1); wait != 0 {
			t.Errorf("a tenth of a second later: wait %v", wait)
		}
		for range 100 {
			now = now.Add(-time.Hour)
			if b.take(now, 1) == 0 {
				t.Fatal("a clock that goes back gives credit")
			}
		}
	})
	t.Run("two_requests_cost_two", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, f.active(nil)))
		f.person(say(200, set{"sub": "alice"}))
		s := f.source(t, both, func(i *Issuer) { i.Rate = 2 })
		for i := range 10 {
			_, _, _ = s.Opaque(ask(t), []byte{'t', byte('a' + i)}, "")
		}
		if n := f.count("/introspect") + f.count("/userinfo"); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}

// TestConfig: all faults at once, and nothing that would ask nobody.
func TestConfig(t *testing.T) {
	hc := testClient(t)
	pw := secret.FromString("x")
	for name, i := range map[string]Issuer{
		"no_url":               {URL: "", Userinfo: true},
		"not_https":            {URL: "ftp://op.example", Userinfo: true},
		"no_client":            {URL: "https://op.example", Introspection: true, ClientSecret: pw},
		"no_secret":            {URL: "https://op.example", Introspection: true, ClientID: "rs"},
		"opaque_and_not_asked": {URL: "https://op.example", Opaque: true},
		"prefix_and_not_asked": {URL: "https://op.example", Prefixes: []string{"x"}},
		"prefix_empty":         {URL: "https://op.example", Userinfo: true, Prefixes: []string{""}},
		"cache_negative":       {URL: "https://op.example", Userinfo: true, Cache: -1},
		"cache_too_long":       {URL: "https://op.example", Userinfo: true, Cache: MaxCache + 1},
		"rate_negative":        {URL: "https://op.example", Userinfo: true, Rate: -1},
		"rate_too_high":        {URL: "https://op.example", Userinfo: true, Rate: MaxRate + 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New([]Issuer{i}, Options{HTTP: hc})
			wantErr(t, err, ErrConfig)
		})
	}
	good := Issuer{URL: "https://op.example", Userinfo: true, Prefixes: []string{"x-"}}
	other := good
	other.URL = "https://other.example"
	for name, list := range map[string][]Issuer{"twice": {good, good}, "prefix_of_two": {good, other}} {
		t.Run(name, func(t *testing.T) {
			_, err := New(list, Options{HTTP: hc})
			wantErr(t, err, ErrConfig)
		})
	}
	t.Run("no_http_client", func(t *testing.T) {
		_, err := New([]Issuer{good}, Options{})
		wantErr(t, err, ErrConfig)
	})
	t.Run("an_issuer_that_is_not_asked_needs_nothing", func(t *testing.T) {
		s := newSource(t, &clock{now: start}, Issuer{URL: "https://op.example"})
		said, err := s.Ask(ask(t), "https://op.example", []byte("a.b.c"), nil)
		if err != nil || said.Introspection.Len() != 0 {
			t.Errorf("%+v, %v", said, err)
		}
	})
}

// TestFewRefusals: the table of refusals has an end, the newest stay in it.
func TestFewRefusals(t *testing.T) {
	r := newRefusals()
	k := func(i int) key { return key{issuer: strconv.Itoa(i)} }
	for i := range 3 * maxRefusals {
		r.put(k(i), ErrInactive, start.Add(keepInactive))
		r.put(k(i), ErrKind, start.Add(keepInactive))
	}
	if len(r.byKey) != maxRefusals || r.order.Len() != maxRefusals {
		t.Errorf("%d and %d entries", len(r.byKey), r.order.Len())
	}
	wantErr(t, r.get(k(3*maxRefusals-1), start), ErrKind)
	if err := r.get(k(0), start); err != nil {
		t.Errorf("the oldest is there: %v", err)
	}
	if err := r.get(k(3*maxRefusals-1), start.Add(keepInactive)); err != nil || len(r.byKey) != maxRefusals-1 {
		t.Errorf("after its time: %v, %d entries", err, len(r.byKey))
	}
}

// BenchmarkAskCached is what a request costs whose token was asked about before.
func BenchmarkAskCached(b *testing.B) {
	f := startFake(b)
	f.answers(say(200, f.active(nil)))
	s, token, signed := f.source(b), []byte(strings.Repeat("x", 900)+".y.z"), f.signed()
	if _, err := s.Ask(b.Context(), f.URL, token, signed); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Ask(b.Context(), f.URL, token, signed); err != nil {
			b.Fatal(err)
		}
	}
}
