package pages

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

//go:embed html/*.html
var sources embed.FS

func (p *Pages) parse() (*template.Template, error) {
	t := template.New("pages").Funcs(template.FuncMap{
		"when":    func(t time.Time) when { return whenOf(t, p.o.Now()) },
		"plain":   plain,
		"visible": cli.Printable,
		"single":  func(list []clauseView) bool { return len(list) == 1 },
	})
	t, err := t.ParseFS(sources, "html/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	return t, nil
}

// sheet is what every page has.
type sheet struct {
	Title    string
	Nav      string // which entry of the navigation this is
	Base     string
	Issuer   string
	Host     string // of the issuer: what people know the service by
	Style    string // URLs of the assets
	Script   string
	Icon     string
	CSRF     string
	In       bool // somebody is logged in
	Settings bool // there is a page of settings
	Operator Operator
	Notice   string // something has happened
	Problem  string // something has not
	Body     any
}

// show writes a page.
func (v *visit) show(status int, name string, s sheet) error {
	v.mark()
	p := v.p
	s.Base, s.Issuer, s.Operator = p.base, p.o.Issuer, p.o.Operator
	s.Host = hostOf(p.o.Issuer)
	s.Style, s.Script, s.Icon = p.asset("style.css"), p.asset("page.js"), p.asset("icon.svg")
	s.CSRF, s.In, s.Settings = v.token(), v.session != "", p.settings()
	t, err := p.templates()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, s); err != nil {
		return fmt.Errorf("write the page %s: %w", name, err)
	}
	v.headers()
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes())
	return nil
}

// headers are what every page is sent with: nothing runs or is loaded that is not ours, nobody frames it, keeps it or
// learns where somebody came from.
func (v *visit) headers() {
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// redirect sends the browser to another page of ours.
func (v *visit) redirect(path string) error {
	v.headers()
	v.w.Header().Del("Content-Type")
	http.Redirect(v.w, v.r, v.p.base+path, http.StatusSeeOther)
	return nil
}

// goOn sends the browser on from a page of ours. It is no redirect: that would be held to the form-action of the page
// with the form, and a redirect to a page of ours that began at another site would still come without cookies.
func (v *visit) goOn(to, host string) error {
	if !plainURL(to) {
		return fmt.Errorf("send a browser on: not a URL of a web page")
	}
	v.w.Header().Set("Refresh", "0; url="+to)
	return v.show(http.StatusOK, "go", sheet{Title: "One moment", Body: map[string]string{"To": to, "Host": host}})
}

// goTo is goOn to a URL of somebody else.
func (v *visit) goTo(to string) error {
	if strings.HasPrefix(to, v.p.o.Issuer+"/") {
		to = v.p.base + strings.TrimPrefix(to, v.p.o.Issuer)
	}
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		return v.goOn(to, "")
	}
	return v.goOn(to, hostOf(to))
}

// plainURL reports whether a URL can stand in a header and in a link: http, https or a path, and no control characters.
func plainURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "" && u.Host == ""
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Host
}

// fail answers with a page that says what went wrong, and what to do about it.
func (v *visit) fail(err error) error {
	var e *desk.Error
	if !errors.As(err, &e) {
		v.p.o.Log.Error("page failed", "op", v.r.Pattern, "err", err)
		e = &desk.Error{Status: http.StatusInternalServerError, Code: desk.CodeInternal}
	} else {
		v.p.o.Log.Debug("page refused", "op", v.r.Pattern, "err", err)
	}
	if e.Status == http.StatusUnauthorized && e.Code == desk.CodeToken && v.session != "" {
		v.forget()
		return v.showFront(http.StatusUnauthorized, "", "Your login here has ended. Log in again.")
	}
	w := wordsOf(e)
	if e.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second)/time.Second)))
	}
	return v.show(e.Status, "error", sheet{Title: w.Title, Body: w})
}

// ShowError answers r with the page of an error: for the parts of the server that browsers come to outside of Handler.
func (p *Pages) ShowError(w http.ResponseWriter, r *http.Request, err error) {
	httpd.Handle(p.o.Log, func(w http.ResponseWriter, r *http.Request) error {
		return p.enter(w,
			r).fail(err)
	}).ServeHTTP(w, r)
}
