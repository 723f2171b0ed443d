package issuer_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

func TestCodeFlow(t *testing.T) {
	for _, auto := range []string{"alice", ""} {
		t.Run("auto login "+auto, func(t *testing.T) {
			s := issuertest.Start(t, func(o *issuer.Options) { o.AutoLogin = auto })
			back := parse(t, s.Login(s.URL+"/authorize?"+authQuery("audience", "https://se.example").Encode(), "bob"))
			q := back.Query()
			if !strings.HasPrefix(back.String(), redirect+"?") || q.Get("state") != "st" || q.Get("iss") != s.URL {
				t.Errorf("redirected to %s", back)
			}
			a := s.Token("", "", codeForm(q.Get("code")))
			at := access(t, s, wantOK(t, a))
			for name, want := range map[string]any{
				"iss": s.URL, "sub": "626f6200-0000-4000-8000-000000626f62", "aud": "https://se.example",
				"client_id": "native", "scope": "openid offline_access storage.read:/", "wlcg.ver": "1.0",
			} {
				if at[name] != want {
					t.Errorf("%s is %v, want %v", name, at[name], want)
				}
			}
			if life := at["exp"].(float64) - at["iat"].(float64); life != 3600 || at["nbf"] != at["iat"] || at["jti"] == "" {
				t.Errorf("times or jti are wrong: %v", at)
			}
			id := claims(t, s, text(a, "id_token"), "jwt")
			if id["aud"] != "native" || id["nonce"] != "n-1" || id["at_hash"] == "" || id["sub"] != at["sub"] {
				t.Errorf("ID token: %v", id)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer with tokens may be cached")
			}
		})
	}
}

func TestAuthorizeRefusesAtTheRedirect(t *testing.T) {
	s := issuertest.Start(t)
	cases := []struct{ name, param, value, code string }{
		{"no PKCE", "code_challenge", "", "invalid_request"},
		{"plain PKCE", "code_challenge_method", "plain", "invalid_request"},
		{"no method, which means plain", "code_challenge_method", "", "invalid_request"},
		{"a challenge too short", "code_challenge", "abc", "invalid_request"},
		{"implicit", "response_type", "token", "unsupported_response_type"},
		{"hybrid", "response_type", "code id_token", "unsupported_response_type"},
		{"fragment", "response_mode", "fragment", "invalid_request"},
		{"request object", "request", "e30.e30.", "request_not_supported"},
		{"request by reference", "request_uri", "https://evil.example/", "request_uri_not_supported"},
		{"storage without path", "scope", "storage.read", "invalid_scope"},
		{"resource with fragment", "resource", "https://se.example/#x", "invalid_target"},
		{"relative resource", "resource", "se", "invalid_target"},
		{"prompt none with another", "prompt", "none login", "invalid_request"},
		{"max_age", "max_age", "soon", "invalid_request"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			back := parse(t, s.Login(s.URL+"/authorize?"+authQuery(c.param, c.value).Encode(), "alice"))
			q := back.Query()
			if q.Get("error") != c.code || q.Has("code") || q.Get("state") != "st" || q.Get("iss") != s.URL {
				t.Errorf("redirected to %s, want error %s", back, c.code)
			}
		})
	}
	t.Run("the person refuses", func(t *testing.T) {
		back := parse(t, s.Login(s.URL+"/authorize?"+authQuery().Encode(), "deny"))
		if back.Query().Get("error") != "access_denied" {
			t.Errorf("redirected to %s", back)
		}
	})
}

func get(t *testing.T, u string) *http.Response {
	t.Helper()
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestAuthorizeNeverRedirectsToStrangers(t *testing.T) {
	s := issuertest.Start(t)
	cases := map[string]string{
		"no client":             authQuery("client_id", "").Encode(),
		"unknown client":        authQuery("client_id", "nobody").Encode(),
		"no redirect URI":       authQuery("redirect_uri", "").Encode(),
		"another host":          authQuery("redirect_uri", "https://evil.example/cb").Encode(),
		"another path":          authQuery("redirect_uri", "http://127.0.0.1:5000/cb/x").Encode(),
		"client without any":    authQuery("client_id", "service").Encode(),
		"two clients":           authQuery().Encode() + "&client_id=web",
		"two redirect URIs":     authQuery().Encode() + "&redirect_uri=https://evil.example",
		"bad percent sign":      authQuery().Encode() + "&x=%zz",
		"too long":              authQuery("state", strings.Repeat("x", 20_000)).Encode(),
		"too many parameters":   authQuery().Encode() + strings.Repeat("&resource=https://a", 100),
		"hint names a stranger": authQuery("login_hint", "mallory").Encode(),
	}
	for name, q := range cases {
		t.Run(name, func(t *testing.T) {
			resp := get(t, s.URL+"/authorize?"+q)
			if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
				t.Errorf("got %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
			}
		})
	}
}

func TestAuthorizeByPost(t *testing.T) {
	s := issuertest.Start(t)
	resp, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(postForm(t, s.URL+"/authorize", authQuery()))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther || to.Query().Get("client_id") != "native" {
		t.Errorf("got %d, Location %v", resp.StatusCode, to)
	}
}

func postForm(t *testing.T, u string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestOtherHostsAreMisdirected(t *testing.T) {
	s := issuertest.Start(t)
	for host, want := range map[string]int{
		"rebound.evil.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example:80": http.StatusMisdirectedRequest,
		"localhost:1": http.StatusOK, "[::1]:1": http.StatusOK, "127.0.0.1": http.StatusOK,
	} {
		r, err := http.NewRequest(http.MethodGet, s.URL+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if a := s.Do(r); a.Status != want {
			t.Errorf("host %s: %d, want %d", host, a.Status, want)
		}
	}
}

// window is a browser at a provider that shows pages.
type window struct {
	t  *testing.T
	hc *http.Client
}

func open(t *testing.T) *window {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &window{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

func (w *window) do(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	resp, err := w.hc.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, body(w.t, resp)
}

func (w *window) get(u string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(r)
}

func (w *window) post(u string, form url.Values) (*http.Response, string) {
	w.t.Helper()
	return w.do(postForm(w.t, u, form))
}

func withPages(o *issuer.Options) { o.AutoLogin = "" }

func TestPagesHeaders(t *testing.T) {
	s := issuertest.Start(t, withPages)
	resp, page := open(t).get(s.URL + "/authorize?" + authQuery("login_hint", `"><script>alert(1)</script>`).Encode())
	csp := resp.Header.Get("Content-Security-Policy")
	for _, part := range []string{
		"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'",
	} {
		if !strings.Contains(csp, part) {
			t.Errorf("policy %q lacks %q", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(page, "<script") {
		t.Error("the page could run a script")
	}
	if resp.Header.Get("X-Frame-Options") != "DENY" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", resp.Header)
	}
	c := resp.Cookies()
	if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("cookies: %v", c)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	s := issuertest.Start(t, withPages)
	first := s.URL + "/authorize?" + authQuery().Encode()
	second := s.URL + "/authorize?" + authQuery("scope", "storage.modify:/").Encode()
	victim := open(t)
	_, page := victim.get(first)
	_, page = victim.post(first, fields(t, page, "login", "alice"))
	consent := fields(t, page)

	cases := []struct {
		name string
		w    *window
		url  string
		form url.Values
	}{
		{"no token", victim, first, with(clone(consent), "csrf", "")},
		{"a made-up token", victim, first, with(clone(consent), "csrf", "AAAA")},
		{"agreement to another request", victim, second, consent},
		{"the page of another browser", open(t), first, consent},
		{"a login form sent as consent", victim, first, with(clone(consent), "page", "login")},
		{"an unknown page", victim, first, with(clone(consent), "page", "admin")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp, _ := c.w.post(c.url, c.form)
			if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
				t.Errorf("got %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
			}
		})
	}
	t.Run("the person's own is taken", func(t *testing.T) {
		resp, _ := victim.post(first, consent)
		if !strings.Contains(resp.Header.Get("Location"), "code=") {
			t.Errorf("got %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
		}
	})
	t.Run("or declined", func(t *testing.T) {
		resp, _ := victim.post(first, with(clone(consent), "refuse", "1"))
		if !strings.Contains(resp.Header.Get("Location"), "error=access_denied") {
			t.Errorf("got %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
		}
	})
}

func TestSession(t *testing.T) {
	c := newClock()
	s := issuertest.Start(t, withPages, c.option)
	w := open(t)
	at := func(change ...string) string { return s.URL + "/authorize?" + authQuery(change...).Encode() }

	resp, _ := w.get(at("prompt", "none"))
	if !strings.Contains(resp.Header.Get("Location"), "error=login_required") {
		t.Errorf("prompt=none without a session: %q", resp.Header.Get("Location"))
	}
	_, page := w.get(at())
	before := cookieOf(t, w, s.URL)
	_, page = w.post(at(), fields(t, page, "login", "mallory"))
	if !strings.Contains(page, "no such account") {
		t.Errorf("an unknown account: %s", page)
	}
	_, page = w.post(at(), fields(t, page, "login", "alice"))
	if cookieOf(t, w, s.URL) == before {
		t.Error("the cookie from before the login is still in use")
	}
	if !strings.Contains(page, "storage.read:/") || !strings.Contains(page, "alice") {
		t.Errorf("the consent page does not say what and who: %s", page)
	}
	if _, page = w.get(at()); !strings.Contains(page, "Allow access?") {
		t.Error("with a session there should be no second login")
	}
	resp, _ = w.get(at("prompt", "none"))
	if !strings.Contains(resp.Header.Get("Location"), "error=consent_required") {
		t.Errorf("prompt=none with a session: %q", resp.Header.Get("Location"))
	}
	if _, page = w.get(at("prompt", "login")); !strings.Contains(page, "Sign in") {
		t.Error("prompt=login did not ask for a login")
	}
	c.pass(2 * time.Minute)
	if _, page = w.get(at("max_age", "60")); !strings.Contains(page, "Sign in") {
		t.Error("max_age did not ask for a login")
	}
	c.pass(9 * time.Hour)
	if _, page = w.get(at()); !strings.Contains(page, "Sign in") {
		t.Error("a session of yesterday still counts")
	}
}

func cookieOf(t *testing.T, w *window, u string) string {
	t.Helper()
	c := w.hc.Jar.Cookies(parse(t, u))
	if len(c) != 1 {
		t.Fatalf("cookies: %v", c)
	}
	return c[0].Value
}

func TestUsersOfIssuersWithPathsAndSlashes(t *testing.T) {
	for _, path := range []string{"", "/", "/op", "/op/"} {
		t.Run("path "+path, func(t *testing.T) {
			s := issuertest.Start(t, func(o *issuer.Options) { o.URL += path; o.AutoLogin = "" })
			base := strings.TrimSuffix(s.URL, "/")
			r, err := http.NewRequest(http.MethodGet, base+"/.well-known/openid-configuration", nil)
			if err != nil {
				t.Fatal(err)
			}
			a := s.Do(r)
			if a.Body["issuer"] != s.URL {
				t.Errorf("issuer is %v, want %s", a.Body["issuer"], s.URL)
			}
			for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
				if e, _ := a.Body[name].(string); !strings.HasPrefix(e, base+"/") || strings.Contains(e[8:], "//") {
					t.Errorf("%s is %s", name, e)
				}
			}
			u := parse(t, s.URL)
			u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
			if r, err = http.NewRequest(http.MethodGet, u.String(), nil); err != nil {
				t.Fatal(err)
			}
			if a := s.Do(r); a.Body["issuer"] != s.URL {
				t.Errorf("RFC 8414 document at %s: %d", u, a.Status)
			}
			back := parse(t, s.Login(base+"/authorize?"+authQuery().Encode(), "alice"))
			at := access(t, s, wantOK(t, s.Token("", "", codeForm(back.Query().Get("code")))))
			if at["iss"] != s.URL {
				t.Errorf("iss is %v", at["iss"])
			}
		})
	}
}
