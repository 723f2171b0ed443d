package pages

import (
	"bytes"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// fields is a form as a browser sends it when nothing was changed.
func fields(f termsForm, issuer string) url.Values {
	v := url.Values{"name": {f.Name.Value}, "issuer": {issuer}, "lifetime": {f.Lifetime.Value}}
	v.Set("clauses", countValue(new(int64(f.Count))))
	for _, b := range slices.Concat(f.Capabilities, f.Parts, f.Rotation) {
		if b.Checked {
			v.Add(b.Name, b.Value)
		}
	}
	for _, o := range f.Unit.Options {
		if o.Chosen {
			v.Set("unit", o.Value)
		}
	}
	for _, c := range f.Clauses {
		for _, in := range c.Inputs {
			v.Set(in.Name, in.Value)
		}
	}
	return v
}

// FuzzForm reads forms of strangers. What is taken can be kept: it is settled already, it is no more than the form
// said, and shown in a form again it comes back as it is.
func FuzzForm(f *testing.F) {
	f.Add("name=x&cap=AT&clauses=1&c0.exp=%2B1d&c0.scope=a+b&c0.hosts=10.0.0.0%2F8&c0.usages_AT=3&rotate=on_AT&lifetime=2" +
		"&unit=hours")
	f.Add("clauses=2&c0.nbf=2026-12-01T10%3A00&c0.exp=2026-12-01T10%3A00%3A30&c1.geoip_allow=BE,NL&c1.geoip_disallow=FR" +
		"&cap=AT")
	f.Add("clauses=99999999999&cap=AT&cap=AT&c0.audience=https%3A%2F%2Fx&name=%ff%00&lifetime=-1")
	f.Add("clauses=-1&cap=read%40settings&c0.exp=+1y1s&rotate=auto_revoke&rotate=x")
	f.Add("cap=AT&clauses=1&c0.exp=0000-01-01T00:00&c0.usages_other=9007199254740993")
	f.Add("cap=read%40") // names nothing
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil || len(body) > 1<<14 {
			return
		}
		d := newReader(form, noon(), nil)
		read := d.terms()
		if len(read.Restrictions) > ledger.MaxClauses || len(read.Capabilities) > maxCapabilities {
			t.Fatalf("%d clauses, %d capabilities", len(read.Restrictions), len(read.Capabilities))
		}
		_ = d.back(builder{}, read) // also what is wrong can be shown
		settled := d.settle(read, false)
		if !d.ok() {
			return
		}
		again, err := rules.Settle(settled.Restrictions, rules.Setting{Now: noon()})
		if err != nil || !same(again, settled.Restrictions) {
			t.Fatalf("not settled: %v, %v, %v", settled.Restrictions, again, err)
		}
		back := newReader(fields(builder{}.form(settled), settled.Issuer), noon(), nil)
		second := back.settle(back.terms(), false)
		if !back.ok() || !same(second.Restrictions, settled.Restrictions) || second.Name != settled.Name {
			t.Fatalf("%+v came back as %+v: %v %v", settled, second, back.errs, back.faults)
		}
		slices.Sort(second.Capabilities)
		slices.Sort(settled.Capabilities)
		if !slices.Equal(second.Capabilities, settled.Capabilities) || !reflect.DeepEqual(second.Rotation, settled.Rotation) {
			t.Fatalf("%+v came back as %+v", settled, second)
		}
		if w := wider(settled, second, noon()); len(w) > 0 {
			t.Fatalf("what came back is wider: %q", w)
		}
	})
}

// same compares restrictions as the wire has them.
func same(a, b mytoken.Restrictions) bool {
	return slices.EqualFunc(a, b, func(x, y mytoken.Restriction) bool {
		p, errP := x.MarshalJSON()
		q, errQ := y.MarshalJSON()
		return errP == nil && errQ == nil && bytes.Equal(p, q)
	})
}

// FuzzLink reads the requests of links.
func FuzzLink(f *testing.F) {
	f.Add("eyJuYW1lIjoibmlnaHQiLCJyZXN0cmljdGlvbnMiOlt7ImV4cCI6IisxZCJ9XX0")
	f.Add("e30=")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := readLink(s)
		if err != nil {
			return
		}
		d := newReader(url.Values{}, noon(), nil)
		_ = builder{}.form(desk.Terms{
			Name: r.Name, Capabilities: r.Capabilities, Restrictions: d.reckon(r.Restrictions),
			Rotation: r.Rotation,
		})
	})
}

func TestEdit(t *testing.T) {
	three := func() desk.Terms {
		return desk.Terms{Restrictions: mytoken.Restrictions{{Scope: "a"}, {Scope: "b"}, {Scope: "c"}}}
	}
	for do, want := range map[string]string{
		"add": "a b c ", "remove-2": "a c", "remove-4": "a b c", "remove-0": "a b c", "remove-x": "a b c", "check": "a b c",
	} {
		terms := three()
		if !edit(&terms, do) {
			t.Errorf("%s is no button of the form", do)
		}
		var got []string
		for _, r := range terms.Restrictions {
			got = append(got, r.Scope)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s leaves %q, want %q", do, s, want)
		}
	}
	for _, do := range []string{"accept", "decline", "", "create"} {
		terms := three()
		if edit(&terms, do) {
			t.Errorf("%s edits", do)
		}
	}
	full := desk.Terms{Restrictions: make(mytoken.Restrictions, ledger.MaxClauses)}
	edit(&full, "add")
	if len(full.Restrictions) != ledger.MaxClauses {
		t.Error("more clauses than there may be")
	}
}

func TestInWords(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute",
		90 * time.Second: "2 minutes",
		time.Hour:        "1 hour", day: "1 day", 7 * day: "7 days", 14 * day: "2 weeks", 30 * day: "4 weeks", 60 * day: "2 months",
		365 * day: "1 year", 800 * day: "2 years", 23*time.Hour + 50*time.Minute: "24 hours",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestPlainURL(t *testing.T) {
	for s, want := range map[string]bool{
		"https://aai.example.org/auth?x=y": true, "http://localhost:1/": true, "/home?q=a": true,
		"javascript:alert(1)": false, "data:text/html,x": false, "//evil.example": false, "https://a b": false,
		"/x\r\nSet-Cookie: a=b": false, `\\evil`: false, "/\\evil": false,
	} {
		if got := plainURL(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
