package pages_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/pages"
	"github.com/oidcbox/oidcbox/core/secret"
)

func TestLogin(t *testing.T) {
	b := newBed(t)
	form := url.Values{
		"csrf": {b.get("/").token()}, "issuer": {"https://aai.example.org"},
		"next": {"https://evil.example"},
	}
	a := b.post("/login", form).want(http.StatusOK)
	if to := a.Header.Get("Refresh"); to != "0; url="+b.provider("web") {
		t.Fatalf("goes to %q", to)
	}
	if got := b.begun[0]; got["redirect_uri"] != b.url+"/home" || got["client_type"] != "web" {
		t.Errorf("asked for %v", got)
	}
	a = b.get("/redirect?state=web&code=c").want(http.StatusSeeOther)
	cookies := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		cookies[c.Name] = c
	}
	session, api := cookies["mytoken-session"], cookies["mytoken"]
	for _, c := range []*http.Cookie{session, api} {
		if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 || c.Domain != "" {
			t.Errorf("cookie %v", c)
		}
	}
	if session.Path != "/" || api.Path != "/api" {
		t.Errorf("paths %q and %q", session.Path, api.Path)
	}
	if b.arrivals[0].Binding.Expose() != "bound-web" {
		t.Error("the login is not bound to its browser")
	}
	b.get("/home").want(http.StatusOK, "night run")
}

func TestHTTPSCookies(t *testing.T) {
	f := newFake()
	f.base = "https://mytoken.example.org"
	p, err := pages.New(pages.Options{Issuer: "https://mytoken.example.org/", Logins: f, Mytokens: f, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/redirect?state=web", nil))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, c := range w.Result().Cookies() {
		if !c.Secure || strings.HasPrefix(c.Name, "__Host-") == (c.Name == "mytoken") {
			t.Errorf("cookie %v", c)
		}
	}
}

// TestOtherSite shows that a page of ours that another site opens comes with its cookies after all, and that nobody can
// make us send a browser elsewhere by that.
func TestOtherSite(t *testing.T) {
	b := newBed(t)
	from := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
	a := b.get("/home?q=a%26b", from...).want(http.StatusOK).without("night run")
	if to := a.Header.Get("Refresh"); to != "0; url=/home?q=a%26b" {
		t.Errorf("goes to %q", to)
	}
	if c := a.Header.Get("Set-Cookie"); c != "" {
		t.Errorf("the cookies of the browser, which it kept back, are replaced: %s", c)
	}
	for _, path := range []string{"//evil.example/", "/%5cevil.example", "/\t/evil.example"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		w := httptest.NewRecorder()
		b.pages.Handler().ServeHTTP(w, r)
		to := strings.TrimPrefix(w.Header().Get("Refresh"), "0; url=") + w.Header().Get("Location")
		if u, err := url.Parse(to); err != nil || u.Host != "" || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) {
			t.Errorf("%q leads to %q", path, to)
		}
	}
}

func TestLoggedOut(t *testing.T) {
	for _, path := range []string{
		"/home", "/settings", "/home/history?mom_id=x", "/home/revoke?mom_id=x",
		"/home/notify?mom_id=x",
	} {
		b := newBed(t)
		b.fail = errors.New("it was asked without a session")
		if to := b.get(path).want(http.StatusSeeOther).Header.Get("Location"); !strings.HasPrefix(to, "/?next=") {
			t.Errorf("%s goes to %s", path, to)
		}
	}
	for _, path := range []string{
		"/home/revoke", "/settings/email", "/settings/grant", "/settings/ssh",
		"/settings/notify", "/settings/calendar",
	} {
		b := newBed(t)
		b.fail = errors.New("it was asked without a session")
		form := url.Values{"csrf": {b.get("/").token()}, "mom_id": {"x"}}
		b.post(path, form).want(http.StatusSeeOther)
		if len(b.revoked) != 0 {
			t.Error("revoked")
		}
	}
}

func TestSessionEnded(t *testing.T) {
	b := newBed(t)
	b.login()
	b.fail = &desk.Error{Status: http.StatusUnauthorized, Code: desk.CodeToken}
	a := b.get("/home").want(http.StatusUnauthorized, "Your login here has ended")
	a.valid()
	if !strings.Contains(strings.Join(a.Header.Values("Set-Cookie"), "\n"), "mytoken-session=; Path=/; Max-Age=0") {
		t.Errorf("the cookie stays: %v", a.Header.Values("Set-Cookie"))
	}
}

func TestErrorPages(t *testing.T) {
	cases := map[string]struct {
		err    error
		status int
		says   []string
	}{
		"internal": {errors.New("password=hunter2"), 500, []string{"It is not your fault"}},
		"too_many": {
			&desk.Error{Status: 429, Code: desk.CodeTooMany, RetryAfter: 90 * time.Second}, 429,
			[]string{"Try again in 2 minutes"},
		},
		"capability": {&desk.Error{Status: 403, Code: desk.CodeCapabilities}, 403, []string{"may not do this"}},
		"restricted": {&desk.Error{Status: 403, Code: desk.CodeRestricted}, 403, []string{"The restrictions of the mytoken"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.login()
			b.fail = c.err
			a := b.get("/home").want(c.status, c.says...).without("hunter2")
			a.valid()
			if c.status == 429 && a.Header.Get("Retry-After") != "90" {
				t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
			}
		})
	}
}

func TestRenewed(t *testing.T) {
	b := newBed(t, func(o *pages.Options) { o.Mytokens = rotating{o.Mytokens} })
	b.login()
	a := b.get("/home").want(http.StatusOK)
	if all := strings.Join(a.Header.Values("Set-Cookie"), "\n"); !strings.Contains(all, "mytoken-session=newer.token") ||
		!strings.Contains(all, "mytoken=newer.token; Path=/api") {
		t.Errorf("cookies %s", all)
	}
	form := url.Values{"csrf": {a.token()}, "mom_id": {"one+/=="}}
	b.post("/home/revoke", form).want(http.StatusOK, "The mytoken has ended")
}

// rotating answers with a new session.
type rotating struct{ pages.Mytokens }

func (r rotating) List(ctx ctx, c desk.Caller) (trees nodes, update *desk.Issued, err error) {
	trees, _, err = r.Mytokens.List(ctx, c)
	return trees, &desk.Issued{
		Kind: mytoken.KindToken, Token: secret.FromString("newer.token"),
		Expires: start().Add(time.Hour),
	}, err
}

func TestLogout(t *testing.T) {
	b := newBed(t)
	b.login()
	form := url.Values{"csrf": {b.get("/home").token()}}
	b.post("/logout", form).want(http.StatusOK, "You are logged out")
	if len(b.revoked) != 1 || b.revoked[0] != " false" {
		t.Errorf("revoked %q", b.revoked)
	}
	b.get("/home").want(http.StatusSeeOther)
}
