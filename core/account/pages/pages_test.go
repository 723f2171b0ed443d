package pages_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/pages"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
)

var password = regexp.MustCompile(`id="password">(oxp_[^<]+)<`)

// TestJourney is a first login: no account, a button, a password.
func TestJourney(t *testing.T) {
	b := newBed(t)
	b.want(b.get(""), http.StatusOK, "Example AAI", "ED25519 SHA256:abcdef", "help@example.org")
	page := b.login("alice")
	b.want(page, http.StatusOK, "You have no account on login.example.org yet", "Alice Tester", "Make my account")
	if len(b.desk.deployed) != 0 {
		t.Fatal("an account was made without being asked for")
	}
	b.want(b.post("/account", "/deploy", nil), http.StatusOK, "User was created.", "alice1")
	if len(b.desk.deployed) != 1 {
		t.Fatalf("deployed %q", b.desk.deployed)
	}
	page = b.post("/account", "/password", nil)
	b.want(page, http.StatusOK, "ssh alice1@login.example.org", "one login as alice1")
	if !password.MatchString(page.Body) {
		t.Errorf("no password: %s", page.Body)
	}
	again := b.post("/account", "/password", nil)
	if password.FindString(again.Body) == password.FindString(page.Body) {
		t.Error("the same password twice")
	}
	want := []string{pages.EventLogin, pages.EventPassword, pages.EventPassword}
	if got := b.kinds(); !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
	if e := b.events[1]; e.Name != "alice1" || e.ID == "" || !e.Remote.IsLoopback() {
		t.Errorf("%+v", e)
	}
	b.want(b.post("/account", "/logout", nil), http.StatusOK, "You are logged out")
	if a := b.get("/account"); a.Status != http.StatusUnauthorized {
		t.Errorf("status %d after logging out", a.Status)
	}
}

// TestLookingChangesNothing asks for every page by GET, logged in.
func TestLookingChangesNothing(t *testing.T) {
	b := newBed(t)
	b.login("alice")
	for _, path := range []string{"", "/", "/account", "/deploy", "/password", "/logout", "/begin", "/decide/good", "/nothing"} {
		a := b.get(path)
		if password.MatchString(a.Body) {
			t.Errorf("%s shows a password", path)
		}
	}
	if len(b.desk.deployed) != 0 || len(b.office.decided) != 0 || len(b.kinds()) != 1 {
		t.Errorf("deployed %q, decided %q, events %q", b.desk.deployed, b.office.decided, b.kinds())
	}
	b.want(b.get("/account"), http.StatusOK)
}

func TestStates(t *testing.T) {
	for s, words := range map[state.State]string{
		state.Pending: "waits for an administrator", state.Rejected: "has rejected the request", state.Suspended: "is stopped",
		state.Unknown: "cannot be looked at just now", state.NotDeployed: "Make my account",
	} {
		t.Run(string(s), func(t *testing.T) {
			b := newBed(t)
			b.desk.state = s
			b.want(b.login("alice"), http.StatusOK, words)
			a := b.post("/account", "/password", nil)
			b.want(a, http.StatusConflict, "There is no password for now")
			if password.MatchString(a.Body) || slices.Contains(b.kinds(), pages.EventPassword) || len(b.desk.deployed) != 0 {
				t.Error("a password, or a deployment, in this state")
			}
		})
	}
	t.Run("limited", func(t *testing.T) {
		b := newBed(t)
		b.desk.state = state.Limited
		b.want(b.login("alice"), http.StatusOK, "Your account is limited", "Get a password")
	})
	t.Run("stopped_after_the_page_was_shown", func(t *testing.T) {
		b := newBed(t)
		b.desk.state = state.Deployed
		token := csrf(b.login("alice").Body)
		b.desk.state = state.Suspended
		if a := b.post("", "/password", url.Values{"csrf": {token}}); password.MatchString(a.Body) {
			t.Error("a password for who is stopped")
		}
	})
}

func TestRefused(t *testing.T) {
	t.Run("not_one_of_those_who_may", func(t *testing.T) {
		b := newBed(t)
		b.judge.refuse = &httpapi.Error{Status: http.StatusForbidden, Err: errors.New("policy")}
		a := b.get(b.op.Login(b.depart(), "carol"))
		b.want(a, http.StatusForbidden, "You may not use this service")
		if got := b.kinds(); !slices.Equal(got, []string{pages.EventRefused}) {
			t.Errorf("events %q", got)
		}
		b.want(b.get("/account"), http.StatusUnauthorized)
	})
	t.Run("revoked_meanwhile", func(t *testing.T) {
		b := newBed(t)
		b.desk.state = state.Deployed
		token := csrf(b.login("alice").Body)
		b.judge.refuse = &httpapi.Error{Status: http.StatusUnauthorized, Err: errors.New("revoked")}
		a := b.post("", "/password", url.Values{"csrf": {token}})
		b.want(a, http.StatusUnauthorized, "Your login here has ended")
		b.judge.refuse = nil
		b.want(b.get("/account"), http.StatusUnauthorized)
	})
	t.Run("provider_of_the_check_is_down", func(t *testing.T) {
		b := newBed(t)
		b.login("alice")
		b.judge.refuse = &httpapi.Error{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute}
		a := b.get("/account")
		b.want(a, http.StatusServiceUnavailable, "Not just now")
		if a.Header.Get("Retry-After") != "60" {
			t.Errorf("%v", a.Header)
		}
		b.judge.refuse = nil
		b.want(b.get("/account"), http.StatusOK)
	})
	t.Run("token_of_somebody_else", func(t *testing.T) {
		b := newBed(t)
		b.judge.subject = func(s *provision.Subject) { s.Sub = "somebody-else" }
		b.want(b.get(b.op.Login(b.depart(), "alice")), http.StatusForbidden, "You may not use this service")
	})
	t.Run("account_is_refused", func(t *testing.T) {
		b := newBed(t)
		b.login("alice")
		b.desk.err = &provision.Rejection{Message: state.LowAssurance + " <b>", Err: errors.New("secret of the log")}
		a := b.post("/account", "/deploy", nil)
		b.want(a, http.StatusForbidden, state.LowAssurance, "&lt;b&gt;")
		if strings.Contains(a.Body, "secret of the log") {
			t.Error("the page says what is for the log")
		}
	})
	t.Run("account_system_down", func(t *testing.T) {
		b := newBed(t)
		b.login("alice")
		b.desk.err = &provision.Failure{Message: "x", Err: errors.New("ldap://secret.internal")}
		a := b.post("/account", "/deploy", nil)
		b.want(a, http.StatusServiceUnavailable, "Not just now")
		if strings.Contains(a.Body, "secret.internal") {
			t.Error("the page says what is for the log")
		}
	})
	t.Run("too_often", func(t *testing.T) {
		b := newBed(t)
		b.desk.state = state.Deployed
		b.login("alice")
		passwords := 0
		for range 14 {
			if password.MatchString(b.post("/account", "/password", nil).Body) {
				passwords++
			}
		}
		if passwords != 10 {
			t.Errorf("%d passwords", passwords)
		}
	})
	t.Run("provider_down", func(t *testing.T) {
		b := newBed(t)
		token := csrf(b.get("").Body)
		b.op.Stop()
		b.want(b.post("", "/begin", url.Values{"issuer": {b.op.URL}, "csrf": {token}}), http.StatusBadGateway, "The login did not work")
	})
	t.Run("session_ends", func(t *testing.T) {
		b := newBed(t)
		b.login("alice")
		b.now = func() time.Time { return time.Now().Add(16 * time.Minute) }
		b.want(b.get("/account"), http.StatusUnauthorized, "Your login here has ended")
	})
}

// TestLanding has browsers come back that should not.
func TestLanding(t *testing.T) {
	const words = "This login does not belong here"
	t.Run("without_having_left", func(t *testing.T) {
		b := newBed(t)
		for _, q := range []string{"", "?state=x&code=y", "?code=y", "?state=" + strings.Repeat("x", 9000)} {
			b.want(b.get("/back"+q), http.StatusNotFound, words)
		}
	})
	t.Run("in_another_browser", func(t *testing.T) {
		b := newBed(t)
		to := b.op.Login(b.depart(), "alice")
		first := b.hc
		b.hc = b.browser(nil)
		b.want(b.get(to), http.StatusNotFound, words)
		b.want(b.get("/account"), http.StatusUnauthorized)
		b.hc = first // the link that was stolen has not been used up
		if a := b.get(to); a.next() != "/login/account" {
			t.Errorf("%d: %s", a.Status, a.Body)
		}
	})
	t.Run("with_the_cookie_of_another_login", func(t *testing.T) {
		b := newBed(t)
		to := b.op.Login(b.depart(), "alice")
		first := b.hc
		b.hc = b.browser(nil)
		_ = b.depart() // an attacker has a login cookie of his own
		u, _ := url.Parse(to)
		site, _ := url.Parse(b.site)
		state := u.Query().Get("state")
		var own *http.Cookie
		for _, c := range b.hc.Jar.Cookies(site) {
			if strings.HasPrefix(c.Name, "ssh-login-") {
				own = c
			}
		}
		for _, c := range first.Jar.Cookies(site) {
			if strings.HasPrefix(c.Name, "ssh-login-") {
				b.hc.Jar.SetCookies(site, []*http.Cookie{{Name: c.Name, Value: own.Value, Path: "/"}})
			}
		}
		b.want(b.get("/back?"+url.Values{"state": {state}, "code": {"c"}}.Encode()), http.StatusNotFound, words)
	})
	t.Run("twice", func(t *testing.T) {
		b := newBed(t)
		to := b.op.Login(b.depart(), "alice")
		if a := b.get(to); a.next() != "/login/account" {
			t.Fatal(a.Body)
		}
		b.want(b.get(to), http.StatusNotFound, words)
	})
	t.Run("code_of_another_login", func(t *testing.T) {
		b := newBed(t)
		victim := b.op.Login(b.depart(), "alice")
		attacker := b.op.Login(b.depart(), "bob")
		v, _ := url.Parse(victim)
		a, _ := url.Parse(attacker)
		q := v.Query()
		q.Set("code", a.Query().Get("code"))
		b.want(b.get("/back?"+q.Encode()), http.StatusBadGateway, "The login did not work")
		b.want(b.get("/account"), http.StatusUnauthorized)
	})
	t.Run("from_another_issuer", func(t *testing.T) {
		b := newBed(t)
		u, _ := url.Parse(b.op.Login(b.depart(), "alice"))
		q := u.Query()
		q.Set("iss", "https://evil.example.org")
		b.want(b.get("/back?"+q.Encode()), http.StatusNotFound, words)
	})
	t.Run("person_said_no", func(t *testing.T) {
		b := newBed(t)
		b.want(b.get(b.op.Login(b.depart(), "deny")), http.StatusForbidden, "said no to the login")
	})
	t.Run("unknown_provider", func(t *testing.T) {
		b := newBed(t)
		b.want(b.post("", "/begin", url.Values{"issuer": {"https://evil.example.org"}, "csrf": {csrf(b.get("").Body)}}),
			http.StatusBadRequest, "This cannot be read")
	})
}

// TestForged has other sites send forms.
func TestForged(t *testing.T) {
	b := newBed(t)
	b.desk.state = state.Deployed
	token := csrf(b.login("alice").Body)
	good := url.Values{"csrf": {token}}
	for name, c := range map[string]struct {
		form   url.Values
		header []string
		status int
	}{
		"no_token":        {url.Values{}, nil, 403},
		"wrong_token":     {url.Values{"csrf": {token + "x"}}, nil, 403},
		"token_of_front":  {url.Values{"csrf": {csrf(newBed(t).get("").Body)}}, nil, 403},
		"other_site":      {good, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"sibling_host":    {good, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"foreign_origin":  {good, []string{"Origin", "https://evil.example.org"}, 403},
		"null_origin":     {good, []string{"Origin", "null"}, 403},
		"json":            {good, []string{"Content-Type", "application/json"}, 415},
		"text":            {good, []string{"Content-Type", "text/plain"}, 415},
		"large":           {url.Values{"csrf": {token}, "x": {strings.Repeat("x", 20<<10)}}, nil, 413},
		"broken_encoding": {nil, []string{"Content-Type", "application/x-www-form-urlencoded; charset"}, 415},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/deploy", "/password", "/decide/good", "/logout", "/begin"} {
				a := b.post("", path, c.form, c.header...)
				if a.Status != c.status || password.MatchString(a.Body) {
					t.Errorf("%s: status %d", path, a.Status)
				}
			}
		})
	}
	if len(b.desk.deployed) != 0 || len(b.office.decided) != 0 {
		t.Error("something was done")
	}
	b.want(b.post("", "/password", good), http.StatusOK, "oxp_") // and the real one works
}

func TestDecision(t *testing.T) {
	b := newBed(t)
	b.office.asked = approval.Asked{
		ID: "x", Name: "alice1", FullName: "<script>alert(1)</script>\u202e", Email: "a@example.org", Groups: []string{"vo_a"},
		Subject: "sub", Issuer: "https://op.example.org",
	}
	for range 3 {
		a := b.get("/decide/good", "Sec-Fetch-Site", "none")
		b.want(a, http.StatusOK, "alice1", "vo_a", "&lt;script&gt;", "Nothing has happened yet")
		if strings.Contains(a.Body, "\u202e") {
			t.Error("the order of letters can be turned around")
		}
	}
	b.want(b.post("/decide/good", "/decide/good", nil), http.StatusBadRequest)
	b.want(b.post("/decide/good", "/decide/bad", url.Values{"decision": {"accept"}}), http.StatusForbidden) // a form is for its link
	if len(b.office.decided) != 0 {
		t.Fatalf("decided %q", b.office.decided)
	}
	b.want(b.post("/decide/good", "/decide/good", url.Values{"decision": {"reject"}}), http.StatusOK, "Rejected")
	b.want(b.post("/decide/good", "/decide/good", url.Values{"decision": {"accept"}}), http.StatusOK, "Accepted")
	if want := []string{"false 127.0.0.1", "true 127.0.0.1"}; !slices.Equal(b.office.decided, want) {
		t.Errorf("decided %q", b.office.decided)
	}
	b.want(b.get("/decide/bad"), http.StatusNotFound, "This link is over")
}

// TestDecisionAboutGroups: what is new stands by itself.
func TestDecisionAboutGroups(t *testing.T) {
	b := newBed(t)
	b.office.asked = approval.Asked{Name: "alice1", Change: true, Groups: []string{"vo_a", "vo_b"}, Added: []string{"vo_b"}}
	b.want(b.get("/decide/good"), http.StatusOK, "other groups for the account",
		"<strong><code>vo_b</code></strong>")
}

// TestHostileTexts has a provider that says the worst about a person.
func TestHostileTexts(t *testing.T) {
	b := newBed(t)
	b.judge.subject = func(s *provision.Subject) {
		s.Person.Name = `"><script>alert(1)</script>` + "\x00\u202e\r\n" + strings.Repeat("ü", 5000)
		s.Email = "javascript:alert(1)"
	}
	b.desk.state = state.Deployed
	a := b.login("alice")
	b.want(a, http.StatusOK, "&lt;script&gt;")
	if strings.ContainsAny(a.Body, "\x00\u202e") || len(a.Body) > 16<<10 {
		t.Errorf("%d bytes:\n%s", len(a.Body), a.Body)
	}
}

// TestCookies: no other host can set ours, no script sees them, and only the one of a login comes from other sites.
func TestCookies(t *testing.T) {
	mux := http.NewServeMux()
	b := newBedOn(t, httptest.NewTLSServer(mux), mux)
	a := b.get("")
	c, err := http.ParseSetCookie(a.Header.Get("Set-Cookie"))
	must(t, err)
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("%+v", c)
	}
	begun := b.post("", "/begin", url.Values{"issuer": {b.op.URL}, "csrf": {csrf(b.get("").Body)}})
	c, err = http.ParseSetCookie(begun.Header.Get("Set-Cookie"))
	must(t, err)
	if !strings.HasPrefix(c.Name, "__Host-ssh-login-") || c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || c.MaxAge != 600 {
		t.Errorf("%+v", c)
	}
}

func TestOptions(t *testing.T) {
	for name, edit := range map[string]func(*pages.Options){
		"no_url":      func(o *pages.Options) { o.URL = "" },
		"ftp":         func(o *pages.Options) { o.URL = "ftp://x/y" },
		"query":       func(o *pages.Options) { o.URL += "?x" },
		"no_desk":     func(o *pages.Options) { o.Desk = nil },
		"no_judge":    func(o *pages.Options) { o.Judge = nil },
		"no_password": func(o *pages.Options) { o.Passwords = nil },
		"no_store":    func(o *pages.Options) { o.Engine = nil },
		"no_host":     func(o *pages.Options) { o.Host = "" },
	} {
		t.Run(name, func(t *testing.T) {
			newBed(t, func(_ *bed, o *pages.Options) {
				broken := *o
				edit(&broken)
				if _, err := pages.New(broken); err == nil {
					t.Error("taken")
				}
			})
		})
	}
}
