package pages_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/pages"
)

func TestConsentForged(t *testing.T) {
	b := newBed(t)
	form := b.get("/c/ordinary").form()
	form.Set("do", "accept")
	refuse := func(name string, change func(f url.Values) []string) {
		t.Run(name, func(t *testing.T) {
			b.t = t
			f := url.Values{}
			for k, v := range form {
				f[k] = v
			}
			header := change(f)
			b.post("/c/ordinary", f, header...).want(http.StatusForbidden, "Nothing was done").valid()
			if len(b.accepted) != 0 {
				t.Fatal("it was accepted")
			}
		})
	}
	refuse("other_site_by_fetch_metadata", func(url.Values) []string { return []string{"Sec-Fetch-Site", "cross-site"} })
	refuse("sibling_site", func(url.Values) []string { return []string{"Sec-Fetch-Site", "same-site"} })
	refuse("other_origin", func(url.Values) []string { return []string{"Origin", "https://evil.example"} })
	refuse("no_origin_at_all", func(url.Values) []string { return []string{"Origin", "null"} })
	refuse("no_token", func(f url.Values) []string { f.Del("csrf"); return nil })
	refuse("token_of_another_code", func(f url.Values) []string {
		f.Set("csrf", b.get("/c/hostile").token())
		return nil
	})
	refuse("token_of_another_browser", func(f url.Values) []string {
		f.Set("csrf", newBed(t).get("/c/ordinary").token())
		return nil
	})
	t.Run("no_cookie", func(t *testing.T) {
		other := newBed(t)
		other.post("/c/ordinary", form).want(http.StatusForbidden)
	})
	t.Run("not_a_form", func(t *testing.T) {
		b.t = t
		b.post("/c/ordinary", form, "Content-Type", "text/plain").want(http.StatusUnsupportedMediaType)
	})
	t.Run("too_large", func(t *testing.T) {
		b.t = t
		b.post("/c/ordinary", url.Values{"x": {strings.Repeat("x", 300<<10)}}).want(http.StatusRequestEntityTooLarge)
	})
}

func TestConsentAccept(t *testing.T) {
	b := newBed(t)
	page := b.get("/c/ordinary").want(http.StatusOK,
		"mytoken client on node17", "Example AAI", "192.0.2.7, Belgium (BE)", "not the address of your browser",
		"mytoken/1.0",
		"see your jobs", "read stored data below /vo/run7", "at most 5 access tokens", "Way 2 of using it", "25 Nov 2026",
		"replaced by a new one with each access token", "https://se.example.org", "192.0.2.0/24")
	form := page.form()
	form.Set("do", "accept")
	a := b.post("/c/ordinary", form, "Sec-Fetch-Site", "same-origin").want(http.StatusOK, "Go on to localhost")
	if to := a.Header.Get("Refresh"); to != "0; url="+b.provider("native") {
		t.Errorf("goes to %q", to)
	}
	asked := someAsked()
	if len(b.accepted) != 1 {
		t.Fatalf("accepted %v", b.accepted)
	}
	got := b.accepted[0]
	if got.Issuer != asked.Issuer || got.Name != asked.Name || strings.Join(got.Capabilities,
		" ") != "AT tokeninfo:introspect" ||
		got.Rotation.String() != asked.Rotation.String() {
		t.Errorf("accepted %+v", got)
	}
	for i, r := range got.Restrictions {
		if r.String() != asked.Restrictions[i].String() {
			t.Errorf("clause %d: %s, asked for was %s", i, r, asked.Restrictions[i])
		}
	}
	b.get("/redirect?state=native&code=c").want(http.StatusSeeOther)
	if bound := b.arrivals[0].Binding.Expose(); bound != "bound-ordinary" {
		t.Errorf("came back with %q", bound)
	}
	b.get("/redirect?state=native&code=c").want(http.StatusSeeOther)
	if bound := b.arrivals[1].Binding.Expose(); bound != "" {
		t.Errorf("the binding was not used up: %q", bound)
	}
}

func TestConsentDecline(t *testing.T) {
	b := newBed(t)
	form := b.get("/c/ordinary").form()
	form.Set("do", "decline")
	form.Set("c0.exp", "nonsense") // nobody has to put a form right to decline
	a := b.post("/c/ordinary", form).want(http.StatusSeeOther)
	if to := a.Header.Get("Location"); !strings.HasPrefix(to, "/native/abort?application=") {
		t.Errorf("goes to %s", to)
	}
	if len(b.declined) != 1 || len(b.accepted) != 0 {
		t.Errorf("declined %v, accepted %v", b.declined, b.accepted)
	}
	b.get(a.Header.Get("Location")).want(http.StatusOK, "mytoken client on node17", "gets no mytoken")
}

func TestConsentAdjust(t *testing.T) {
	b := newBed(t)
	form := b.get("/c/ordinary").form()
	form.Set("do", "remove-1")
	page := b.post("/c/ordinary", form).want(http.StatusOK,
		"What you would allow").without("This is more than was asked for")
	page.valid()
	form = page.form()
	if form.Get("clauses") != "1" || form.Get("c0.scope") != "storage.modify:/vo/run7" {
		t.Fatalf("the wrong way is gone: %v", form)
	}
	form.Set("c0.exp", "+1d") // a browser without date fields
	form.Set("name", "shorter")
	form.Set("do", "accept")
	b.post("/c/ordinary", form).want(http.StatusOK)
	got := b.accepted[0]
	if got.Name != "shorter" || len(got.Restrictions) != 1 || got.Restrictions[0].Expires.Unix() != start().Unix()+86400 {
		t.Errorf("accepted %+v", got)
	}
}

func TestConsentWider(t *testing.T) {
	cases := map[string]struct {
		change func(f url.Values)
		says   string
	}{
		"later_end":       {func(f url.Values) { f.Set("c1.exp", "2030-01-01T00:00") }, "way 2 of using it goes beyond"},
		"more_uses":       {func(f url.Values) { f.Set("c0.usages_AT", "6") }, "way 1 of using it goes beyond"},
		"other_scope":     {func(f url.Values) { f.Set("c0.scope", "compute.read storage.read:/") }, "goes beyond"},
		"no_hosts":        {func(f url.Values) { f.Set("c0.hosts", "") }, "goes beyond"},
		"no_limit_at_all": {func(f url.Values) { f.Set("clauses", "0") }, "all restrictions are gone"},
		"capability":      {func(f url.Values) { f.Add("cap", "create_mytoken") }, "may also: make mytokens from this one"},
		"no_rotation":     {func(f url.Values) { f.Del("rotate") }, "not replaced with each access token any more"},
		"other_provider":  {func(f url.Values) { f.Set("issuer", "https://login.example.net/realm") }, "another provider"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			form := b.get("/c/ordinary").form()
			c.change(form)
			form.Set("do", "accept")
			page := b.post("/c/ordinary", form).want(http.StatusOK, "more than was asked for", c.says, "Nothing is allowed yet")
			page.valid()
			if len(b.accepted) != 0 {
				t.Fatal("it was accepted at once")
			}
			form = page.form()
			form.Set("do", "accept")
			form.Set("cap", form.Get("cap"))
			other := url.Values{}
			for k, v := range form {
				other[k] = v
			}
			other.Set("c0.usages_AT", "7000")
			other.Set("clauses", "1")
			b.post("/c/ordinary", other).want(http.StatusOK, "Nothing is allowed yet") // agreed to something else
			if len(b.accepted) != 0 {
				t.Fatal("what was not shown was accepted")
			}
			form = page.form()
			form.Set("do", "accept")
			b.post("/c/ordinary", form).want(http.StatusOK, "Go on to")
			if len(b.accepted) != 1 {
				t.Fatal("it was not accepted")
			}
		})
	}
}

func TestConsentMistakes(t *testing.T) {
	cases := map[string]struct {
		change func(f url.Values)
		says   string
	}{
		"time":            {func(f url.Values) { f.Set("c0.exp", "soon <b>") }, "This is no time"},
		"time_over":       {func(f url.Values) { f.Set("c0.exp", "2020-01-01T00:00") }, "This way cannot be"},
		"end_at_start":    {func(f url.Values) { f.Set("c0.nbf", f.Get("c0.exp")) }, "This way cannot be"},
		"uses":            {func(f url.Values) { f.Set("c0.usages_AT", "-1") }, "This is no number of uses"},
		"lifetime":        {func(f url.Values) { f.Set("lifetime", "0") }, "This is no length of time"},
		"no_capability":   {func(f url.Values) { f.Del("cap") }, "Choose at least one"},
		"name_too_long":   {func(f url.Values) { f.Set("name", strings.Repeat("x", 300)) }, "This is too long"},
		"control":         {func(f url.Values) { f.Set("c0.scope", "a\x00b") }, "characters in it that cannot be"},
		"unknown_country": {func(f url.Values) { f.Set("c0.geoip_allow", "BEL") }, "This way cannot be"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			form := b.get("/c/ordinary").form()
			c.change(form)
			form.Set("do", "accept")
			page := b.post("/c/ordinary", form).want(http.StatusUnprocessableEntity, c.says,
				`<details class="adjust" open="open">`)
			page.valid()
			if len(b.accepted) != 0 {
				t.Fatal("it was accepted")
			}
			if back := page.form(); back.Get("c1.scope") != "storage.modify:/vo/run7" {
				t.Errorf("what was right is lost: %v", back)
			}
		})
	}
}

func TestConsentOver(t *testing.T) {
	b := newBed(t)
	form := b.get("/c/ordinary").form()
	b.mu.Lock()
	delete(b.asked, "ordinary")
	b.mu.Unlock()
	form.Set("do", "accept")
	b.post("/c/ordinary", form).want(http.StatusNotFound, "Go back to the program").valid()
}

func TestConsentFromHere(t *testing.T) {
	b := newBed(t, func(o *pages.Options) {
		o.Origin = func(*http.Request) desk.Origin { return desk.Origin{Client: netip.MustParseAddr("192.0.2.7")} }
	})
	b.get("/c/ordinary").want(http.StatusOK, "the address of your browser, too")
}

// TestConsentOfSite is a login that a web site has begun: it says where the browser goes.
func TestConsentOfSite(t *testing.T) {
	b := newBed(t)
	a := someAsked()
	a.Web, a.RedirectURI, a.ResponseType, a.Bound = true, "https://portal.example.org/back?x=y", mytoken.KindTransferCode, true
	b.asked["site"] = a
	b.get("/c/site").want(http.StatusOK, "goes on to the web site <strong>portal.example.org</strong>", "a transfer code",
		"only together with a key").valid()
	a.RedirectURI = b.url + "/home"
	b.asked["site"] = a
	b.get("/c/site").want(http.StatusOK).without("goes on to the web site")
}

func TestConsentUnsupportedKeys(t *testing.T) {
	b := newBed(t, func(o *pages.Options) { o.Supported = []string{"nbf", "exp", "usages_AT"} })
	b.asked["ordinary"] = desk.Asked{
		Issuer: "https://aai.example.org", Providers: providers(), Capabilities: mytoken.Capabilities{"AT"},
		Restrictions: mytoken.Restrictions{{UsagesAT: ptr(int64(2))}},
	}
	page := b.get("/c/ordinary").want(http.StatusOK).without("c0.hosts", "c0.geoip_allow")
	form := page.form()
	form.Set("c0.hosts", "192.0.2.7")
	form.Set("do", "accept")
	b.post("/c/ordinary", form).want(http.StatusOK)
	if got := b.accepted[0].Restrictions[0]; got.Hosts != nil || *got.UsagesAT != 2 {
		t.Errorf("accepted %s", got)
	}
}
