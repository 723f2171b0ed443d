package issuertest

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Login does what user does in a browser with an authorization URL: signs in, agrees (deny refuses), and returns the
// URL the browser is sent to in the end, without visiting it. It works with pages and with AutoLogin.
func (s *Server) Login(authURL, user string) (finalRedirect string) {
	s.tb.Helper()
	location, page := s.browse(authURL, user)
	if location == "" {
		s.tb.Fatalf("issuertest: login of %s ended on a page: %s", user, page)
	}
	return location
}

// ApproveDevice does what user does with the verification_uri_complete of a device flow; deny refuses.
func (s *Server) ApproveDevice(verificationURIComplete, user string) {
	s.tb.Helper()
	location, page := s.browse(verificationURIComplete, user)
	if location != "" || !strings.Contains(page, "Device connected") && user != "deny" {
		s.tb.Fatalf("issuertest: %s did not approve the device: %s %s", user, location, page)
	}
}

// browse follows pages and redirects inside the issuer, and returns the first redirect out of it, or the last page.
func (s *Server) browse(start, user string) (location, page string) {
	s.tb.Helper()
	u, err := url.Parse(start)
	if err != nil {
		s.tb.Fatalf("issuertest: %v", err)
	}
	if s.o.AutoLogin != "" {
		q := u.Query()
		q.Set("login_hint", user)
		u.RawQuery = q.Encode()
	}
	hc := browser()
	resp, err := hc.Get(u.String())
	for range 10 {
		if err != nil {
			s.tb.Fatalf("issuertest: browser: %v", err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if to, none := resp.Location(); none == nil {
			if to.Host != u.Host {
				return to.String(), ""
			}
			resp, err = hc.Get(to.String())
			continue
		}
		form := formOf(string(body))
		if form == nil {
			return "", string(body)
		}
		form.values.Set("login", user)
		to, perr := u.Parse(form.action)
		if perr != nil {
			s.tb.Fatalf("issuertest: browser: %v", perr)
		}
		resp, err = hc.PostForm(to.String(), form.values)
	}
	s.tb.Fatalf("issuertest: browser: too many pages")
	return "", ""
}

// browser keeps cookies and stops at redirects.
func browser() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &http.Client{
		Jar: jar, Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type form struct {
	action string
	values url.Values
}

// formOf finds the form of one of our pages and its hidden fields.
func formOf(page string) *form {
	action := regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindStringSubmatch(page)
	if action == nil {
		return nil
	}
	f := &form{action: html.UnescapeString(action[1]), values: url.Values{}}
	hidden := regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		f.values.Set(m[1], html.UnescapeString(m[2]))
	}
	return f
}
