package pages_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/pages"
)

// bed is a server with the pages and a fake behind them, and a browser without scripts.
type bed struct {
	*fake
	t     testing.TB
	pages *pages.Pages
	url   string
	hc    *http.Client
}

func newBed(tb testing.TB, change ...func(*pages.Options)) *bed {
	tb.Helper()
	mux := http.NewServeMux()
	return newBedOn(tb, httptest.NewServer(mux), mux, change...)
}

// newBedOn is newBed on a server of mux, which may have https.
func newBedOn(tb testing.TB, srv *httptest.Server, mux *http.ServeMux, change ...func(*pages.Options)) *bed {
	tb.Helper()
	b := &bed{fake: newFake(), t: tb}
	tb.Cleanup(srv.Close)
	b.url, b.base = srv.URL, srv.URL
	o := pages.Options{
		Issuer: srv.URL, Logins: b.fake, Mytokens: b.fake, Mail: b.fake, SSH: b.fake, Notices: notices{b.fake},
		Transfer: true,
		Operator: pages.Operator{
			Name: "Example Computing", Homepage: "https://www.example.org", Contact: "help@example.org",
			PrivacyMail: "privacy@example.org",
		},
		Retention: 30 * 24 * time.Hour, Now: start,
		Country: func(netip.Addr) string { return "BE" },
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if b.pages, err = pages.New(o); err != nil {
		tb.Fatal(err)
	}
	mux.Handle("/", b.pages.Handler())
	mux.HandleFunc("GET /provider", func(w http.ResponseWriter, r *http.Request) {
		to := b.url + "/redirect?" + url.Values{"state": {r.FormValue("state")}, "code": {"c"}}.Encode()
		http.Redirect(w, r, to, http.StatusFound)
	})
	mux.HandleFunc("GET /evil/form", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w,
			`<form method="post" action="%s"><input type="hidden" name="%s" value="%s"><button>win</button></form>`,
			b.url+r.FormValue("to"), r.FormValue("name"), r.FormValue("value"))
	})
	mux.HandleFunc("GET /evil/frame", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<iframe src="%s/home"></iframe>`, b.url)
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	b.hc = &http.Client{Jar: jar, CheckRedirect: func(*http.Request,
		[]*http.Request,
	) error {
		return http.ErrUseLastResponse
	}}
	return b
}

// login gives the browser a session.
func (b *bed) login() {
	b.t.Helper()
	u, _ := url.Parse(b.url)
	b.hc.Jar.SetCookies(u, []*http.Cookie{{Name: "mytoken-session", Value: sessionToken(), Path: "/"}})
}

// foreign is a page of another site with a form for a path of ours.
func (b *bed) foreign(path, name, value string) string {
	return b.otherSite() + "/evil/form?" + url.Values{"to": {path}, "name": {name}, "value": {value}}.Encode()
}

// frame is a page of our site that frames ours: not even that may.
func (b *bed) frame() string { return b.url + "/evil/frame" }

func (b *bed) otherSite() string { return strings.Replace(b.url, "127.0.0.1", "localhost", 1) }

// answer is what a browser got.
type answer struct {
	t      testing.TB
	Status int
	Header http.Header
	Body   string
}

func (b *bed) do(r *http.Request) answer {
	b.t.Helper()
	resp, err := b.hc.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{t: b.t, Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

func (b *bed) get(path string, header ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

func (b *bed) post(path string, form url.Values, header ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// token is what forms of a page carry.
func (a answer) token() string {
	a.t.Helper()
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(a.Body)
	if m == nil {
		a.t.Fatalf("no form in %d %s", a.Status, a.Body)
	}
	return m[1]
}

// want checks the status and that texts are there.
func (a answer) want(status int, texts ...string) answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("status %d, want %d:\n%s", a.Status, status, a.Body)
	}
	for _, s := range texts {
		if !strings.Contains(a.Body, s) {
			a.t.Fatalf("%q is not in\n%s", s, a.Body)
		}
	}
	return a
}

func (a answer) without(texts ...string) answer {
	a.t.Helper()
	for _, s := range texts {
		if strings.Contains(a.Body, s) {
			a.t.Fatalf("%q is in\n%s", s, a.Body)
		}
	}
	return a
}

// form is the fields of the largest form of a page, as a browser sends them.
func (a answer) form() url.Values {
	a.t.Helper()
	best, now := url.Values{}, url.Values{}
	var selected, text string
	for _, e := range a.elements() {
		switch at := e.attr; e.name {
		case "form":
			now = url.Values{}
		case "/form":
			if len(now) > len(best) {
				best = now
			}
		case "input":
			_, checked := at["checked"]
			if box := at["type"] == "checkbox" || at["type"] == "radio"; (!box || checked) && at["name"] != "" {
				now.Add(at["name"], at["value"])
			}
		case "select":
			selected = at["name"]
		case "option":
			if _, ok := at["selected"]; ok || !now.Has(selected) {
				now.Set(selected, at["value"])
			}
		case "textarea":
			text = at["name"]
		case "/textarea":
			now.Set(text, e.text)
		}
	}
	return best
}

type element struct {
	name string // "/x" for an end
	attr map[string]string
	text string // before an end
}

// elements reads a page strictly: what is open is closed, in order.
func (a answer) elements() []element {
	a.t.Helper()
	d := xml.NewDecoder(bytes.NewReader([]byte(a.Body)))
	var out []element
	text := ""
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			a.t.Fatalf("the page is not well formed: %v\n%s", err, a.Body)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			text = ""
			at := map[string]string{}
			for _, x := range e.Attr {
				if _, twice := at[x.Name.Local]; twice {
					a.t.Fatalf("attribute %s twice in %s", x.Name.Local, e.Name.Local)
				}
				at[x.Name.Local] = x.Value
			}
			out = append(out, element{name: e.Name.Local, attr: at})
		case xml.CharData:
			text += string(e)
		case xml.EndElement:
			out = append(out, element{name: "/" + e.Name.Local, text: text})
		}
	}
}

// valid checks what can be said of every page without a browser.
func (a answer) valid() {
	a.t.Helper()
	ids, count := map[string]bool{}, map[string]int{}
	all := a.elements()
	for _, e := range all {
		count[e.name]++
		if id := e.attr["id"]; id != "" {
			if ids[id] {
				a.t.Errorf("id %q is there twice", id)
			}
			ids[id] = true
		}
		for name := range e.attr {
			if strings.HasPrefix(name, "on") || name == "style" {
				a.t.Errorf("%s has the attribute %s", e.name, name)
			}
		}
	}
	for _, once := range []string{"html", "title", "h1", "main", "body"} {
		if count[once] != 1 {
			a.t.Errorf("%d elements %s", count[once], once)
		}
	}
	if count["style"] != 0 || count["script"] != 1 || count["iframe"] != 0 {
		a.t.Errorf("elements that are not ours: %v", count)
	}
	a.labelled(all, ids)
	a.nested(all)
}

// labelled checks that each field has a label, and that what is referred to is there.
func (a answer) labelled(all []element, ids map[string]bool) {
	a.t.Helper()
	labels, inLabel := map[string]bool{}, false
	for _, e := range all {
		if e.name == "label" {
			labels[e.attr["for"]] = true
			if f, ok := e.attr["for"]; ok && !ids[f] {
				a.t.Errorf("a label is for %q, which is not there", f)
			}
		}
	}
	for _, e := range all {
		switch e.name {
		case "label":
			inLabel = true
		case "/label":
			inLabel = false
		case "input", "select", "textarea":
			if !inLabel && e.attr["type"] != "hidden" && !labels[e.attr["id"]] {
				a.t.Errorf("no label for %v", e.attr)
			}
		}
		for _, refer := range []string{"aria-describedby", "aria-labelledby"} {
			for _, id := range strings.Fields(e.attr[refer]) {
				if !ids[id] {
					a.t.Errorf("%s names %q, which is not there", refer, id)
				}
			}
		}
	}
}

// nested checks what HTML does not allow inside of what.
func (a answer) nested(all []element) {
	a.t.Helper()
	var open []string
	for _, e := range all {
		if end, ok := strings.CutPrefix(e.name, "/"); ok {
			if len(open) == 0 || open[len(open)-1] != end {
				a.t.Fatalf("%s ends inside of %v", end, open)
			}
			open = open[:len(open)-1]
			continue
		}
		parent := ""
		if len(open) > 0 {
			parent = open[len(open)-1]
		}
		for _, never := range [][2]string{{"p", "ul"}, {"p", "p"}, {"p", "div"}, {"p", "form"}, {"form", "form"}, {
			"a",
			"a",
		}, {"button", "a"}, {"label", "label"}} {
			if e.name == never[1] && slices.Contains(open, never[0]) {
				a.t.Errorf("%s inside of %s: %v", e.name, never[0], open)
			}
		}
		if (parent == "ul" || parent == "ol") && e.name != "li" || parent == "dl" && e.name != "div" {
			a.t.Errorf("%s as a child of %s", e.name, parent)
		}
		open = append(open, e.name)
	}
}
