package issuer

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

//go:embed page.html
var pageSource string

// pages holds what is parsed at the first page that is shown.
type pages struct {
	t      *template.Template
	origin *regexp.Regexp
	style  string // the source of the page's style for a content security policy
}

func parsePages() *pages {
	_, style, _ := strings.Cut(pageSource, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return &pages{
		style:  "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		t:      template.Must(template.New("page").Parse(pageSource)),
		origin: regexp.MustCompile(`^[a-z][a-z0-9+.-]*:(//(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?)?$`),
	}
}

// view is the data of a page.
type view struct {
	Kind   string // "login", "consent", "code", "message"
	Title  string
	Issuer string
	Action string
	CSRF   string
	Notice string

	Client, ClientID string
	Scopes           []string
	Audience         []string
	UserCode         string
	User             string
	Hint             string
	Accounts         []string
}

func (i *Issuer) showLogin(w http.ResponseWriter, r *http.Request, q question, notice string) error {
	v := i.viewOf(r, q, "login", i.browser(w, r))
	v.Title, v.Hint, v.Notice = "Sign in", q.hint, notice
	for _, u := range i.o.Users {
		v.Accounts = append(v.Accounts, u.Name)
	}
	return i.show(w, http.StatusOK, v, "")
}

func (i *Issuer) showConsent(w http.ResponseWriter, r *http.Request, q question, who visitor) error {
	v := i.viewOf(r, q, "consent", who.browser)
	v.Title, v.User, v.UserCode = "Allow access?", who.user.Name, q.userCode
	v.Scopes, v.Audience = i.allowed(q.client, &who.user, q.scope), q.audience
	return i.show(w, http.StatusOK, v, q.redirect)
}

func (i *Issuer) viewOf(r *http.Request, q question, kind, browser string) view {
	return view{
		Kind: kind, Action: i.formAction(q, r), CSRF: i.csrf(kind, browser, r),
		Client: orDefault(q.client.Name, q.client.ID), ClientID: q.client.ID,
	}
}

// pageError shows a person what went wrong where no client can be told.
func (i *Issuer) pageError(w http.ResponseWriter, err error) error {
	var e *httpd.Error
	if !errors.As(err, &e) {
		return err
	}
	return i.show(w, e.Status, view{Kind: "message", Title: "This did not work", Notice: e.Description}, "")
}

// show writes a page that runs no script, loads nothing and cannot be framed. Its form may lead to redirect: browsers
// hold the redirection after a form to the form-action of its page, too.
func (i *Issuer) show(w http.ResponseWriter, status int, v view, redirect string) error {
	v.Issuer = i.o.URL
	var b bytes.Buffer
	if err := i.pages().t.Execute(&b, v); err != nil {
		return fmt.Errorf("write the page %s: %w", v.Kind, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+i.pages().style+"; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action 'self'"+i.originOf(redirect))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// originOf is redirect as a source of a content security policy with a blank in front, "" when it cannot be one.
func (i *Issuer) originOf(redirect string) string {
	u, err := url.Parse(redirect)
	if redirect == "" || err != nil {
		return ""
	}
	origin := u.Scheme + ":"
	if u.Host != "" {
		origin += "//" + u.Host
	}
	if !i.pages().origin.MatchString(origin) {
		return ""
	}
	return " " + origin
}
