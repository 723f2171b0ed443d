package introspection

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// TestCredentials: the two ways RFC 6749 has, encoded or not.
func TestCredentials(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients()})
	good := "token=" + token(t, nil)
	cases := map[string]question{
		"Basic":                      {basic: wiki, body: good},
		"in the form":                {body: good + "&client_id=wiki&client_secret=" + wikiSecret},
		"odd, as RFC 6749 wants it":  {basic: "o+d%25d:" + url.QueryEscape(oddSecret), body: good},
		"odd, as many clients do it": {basic: "o d%d:" + oddSecret, body: good},
		"odd, in the form": {
			body: good + "&client_id=" + url.QueryEscape("o d%d") + "&client_secret=" + url.QueryEscape(oddSecret),
		},
		"scheme in lower case": {headers: []string{"basic " + "d2lraTp3aWtpLXNlY3JldC1vZi0zMi1jaGFyYWN0ZXJzLWFiYw=="}, body: good},
	}
	for name, q := range cases {
		t.Run(name, func(t *testing.T) {
			if w := q.ask(h); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"active":true`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// TestOpen: on a Unix socket nobody needs credentials, and wrong ones are still wrong.
func TestOpen(t *testing.T) {
	h := newEndpoint(t, newGate(t), Options{Clients: testClients(), Open: true, Service: "wiki"})
	good := "token=" + token(t, nil)
	for _, c := range []struct {
		q      question
		status int
		active string
	}{
		{question{body: good}, 200, `{"active":true`},
		{question{body: good, basic: "closed:" + wikiSecret}, 200, `{"active":false`},
		{question{body: good, basic: "wiki:wrong"}, 401, `{"error":"invalid_client"`},
	} {
		if w := c.q.ask(h); w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.active) {
			t.Errorf("%q: %d %s", c.q.basic, w.Code, w.Body)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	long := secret.FromString(wikiSecret)
	for name, o := range map[string]Options{
		"nobody who could ask": {},
		"a short secret":       {Clients: map[string]Client{"a": {Secret: secret.FromString("0123456789abcde")}}},
		"no secret":            {Clients: map[string]Client{"a": {}}},
		"no id":                {Clients: map[string]Client{"": {Secret: long}}},
		"a colon in an id":     {Clients: map[string]Client{"a:b": {Secret: long}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(newGate(t), o); !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "0123456789") {
				t.Errorf("%v", err)
			}
		})
	}
	_, err := New(newGate(t), Options{Clients: map[string]Client{"b": {}, "a:": {}}})
	if err == nil || strings.Count(err.Error(), "client ") != 2 {
		t.Errorf("not all faults at once: %v", err)
	}
}

// TestWrongCredentialsAreLimited: per source, and the right ones are taken all the same.
func TestWrongCredentialsAreLimited(t *testing.T) {
	clock := now
	h := newEndpoint(t, newGate(t), Options{Clients: testClients(), Now: func() time.Time { return clock }})
	wrong := question{basic: "wiki:wrong", body: "token=a"}
	var codes []int
	for range maxWrong + 3 {
		codes = append(codes, wrong.ask(h).Code)
	}
	if want := slices.Concat(slices.Repeat([]int{401}, maxWrong), []int{429, 429, 429}); !slices.Equal(codes, want) {
		t.Errorf("%v, want %v", codes, want)
	}
	if w := wrong.ask(h); w.Header().Get("Retry-After") != "6" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	right := question{basic: wiki, body: "token=" + token(t, nil)}
	if w := right.ask(h); w.Code != 200 {
		t.Errorf("a stranger locked the service out: %d", w.Code)
	}
	clock = clock.Add(wrongEvery)
	if a, b := wrong.ask(h).Code, wrong.ask(h).Code; a != 401 || b != 429 {
		t.Errorf("after %v: %d, %d", wrongEvery, a, b)
	}
}

// TestFailuresAreBounded in memory, whoever comes from wherever, and a network is one source.
func TestFailuresAreBounded(t *testing.T) {
	f := failures{now: func() time.Time { return now }}
	for i := range 3 * maxSources {
		f.add(source(fmt.Sprintf("[2001:db8:%x:%x::1]:99", i>>16, i&0xffff)))
	}
	if len(f.due) > maxSources {
		t.Errorf("%d sources are remembered", len(f.due))
	}
	if a, b := source("[2001:db8::1]:1"), source("[2001:db8::2:3]:2"); a != b {
		t.Errorf("%v and %v", a, b)
	}
	if a, b := source("192.0.2.1:1"), source("[::ffff:192.0.2.1]:2"); a != b {
		t.Errorf("%v and %v", a, b)
	}
	if a, b := source("192.0.2.1:1"), source("192.0.2.2:1"); a == b {
		t.Errorf("%v for both", a)
	}
}
