package pages_test

import (
	"net/http"
	"strings"
	"testing"
)

// everyPage is each page once, with a session.
func everyPage() map[string]int {
	return map[string]int{
		"/": 200, "/?r=eyJuYW1lIjoibmlnaHQiLCJyZXN0cmljdGlvbnMiOlt7ImV4cCI6IisxZCJ9XX0": 200, "/?r=%00": 400,
		"/c/ordinary": 200, "/c/hostile": 200, "/c/unknown": 404, "/native?application=%3Cb%3E": 200,
		"/native/abort?application=x": 200,
		"/create":                     200, "/created": 200, "/home": 200, "/home?view=list&ended=1": 200, "/home?q=night": 200,
		"/home/history?mom_id=one%2B/%3D%3D": 200, "/home/revoke?mom_id=one%2B/%3D%3D": 200, "/home/revoke?mom_id=x": 404,
		"/home/notify?mom_id=one%2B/%3D%3D": 200, "/home/transfer": 200, "/settings": 200, "/calendars/cal1/view": 200,
		"/calendars/x/view": 404, "/notifications/management": 200, "/notifications/x": 404, "/privacy": 200, "/nowhere": 404,
		"/redirect?state=wrong": 555,
	}
}

func TestPages(t *testing.T) {
	b := newBed(t)
	b.login()
	b.keys, b.grant = nil, true
	for path, status := range everyPage() {
		t.Run(strings.NewReplacer("/", "_", "%", "").Replace(path), func(t *testing.T) {
			b.t = t
			a := b.get(path).want(status)
			a.valid()
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; " +
					"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
			} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			a.without("<script>window", "<img src=x", "ZgotmplZ", "<no value>")
			for _, e := range a.elements() {
				if strings.Contains(e.text, "\u202e") {
					t.Errorf("a text turns the order of letters around: %q", e.text)
				}
			}
		})
	}
}

func TestAssets(t *testing.T) {
	b := newBed(t)
	front := b.get("/").Body
	for _, name := range []string{"style.css", "page.js", "icon.svg"} {
		_, rest, ok := strings.Cut(front, "/static/"+name+"?v=")
		tag, _, _ := strings.Cut(rest, `"`)
		if !ok {
			t.Fatalf("%s is not on the page", name)
		}
		a := b.get("/static/" + name + "?v=" + tag).want(http.StatusOK)
		if c := a.Header.Get("Cache-Control"); !strings.Contains(c, "immutable") {
			t.Errorf("%s: %s", name, c)
		}
		b.get("/static/"+name, "If-None-Match", `"`+tag+`"`).want(http.StatusNotModified)
	}
	b.get("/static/nothing").want(http.StatusNotFound)
}
