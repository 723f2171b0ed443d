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
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/cli"
)

//go:embed html/*.html
var sources embed.FS

func (p *Pages) parse() (*template.Template, error) {
	t := template.New("pages").Funcs(template.FuncMap{"plain": plain, "clock": clock})
	t, err := t.ParseFS(sources, "html/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	return t, nil
}

// sheet is what every page has.
type sheet struct {
	Title    string
	Base     string
	Host     string // what people know the service by
	Style    string // URLs of the assets
	Icon     string
	CSRF     string
	In       bool // somebody is logged in
	Operator Operator
	Notice   string // something has happened
	Problem  string // something has not
	Body     any
}

// show writes a page.
func (v *visit) show(status int, name string, s sheet) error {
	v.mark()
	p := v.p
	s.Base, s.Host, s.Operator = p.base, p.o.Host, p.o.Operator
	s.Style, s.Icon = p.asset("style.css"), p.asset("icon.svg")
	s.CSRF, s.In = v.token(), v.session != ""
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

// headers are what every page is sent with: nothing runs, nothing is loaded that is not ours, nobody frames it, keeps it
// or learns where somebody came from.
func (v *visit) headers() {
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "+
		"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
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
		return errors.New("send a browser on: not a URL of a web page")
	}
	v.w.Header().Set("Refresh", "0; url="+to)
	return v.show(http.StatusOK, "go", sheet{Title: "One moment", Body: map[string]string{"To": to, "Host": host}})
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

// maxText bounds a text of somebody else on a page, in characters.
const maxText = 300

// plain is one line of a text that others chose: what cannot be seen, or turns the order of letters around, is shown as
// what it is.
func plain(s string) string {
	s = cli.Printable(strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " "))
	if utf8.RuneCountInString(s) <= maxText {
		return s
	}
	return string([]rune(s)[:maxText]) + "…"
}

// clock is a time as people without a script read it.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

// fail answers with a page that says what went wrong, and what to do about it.
func (v *visit) fail(err error) error {
	f := asFault(err)
	if f.status >= http.StatusInternalServerError {
		v.p.o.Log.Error("page failed", "op", v.r.Pattern, "err", err)
	} else {
		v.p.o.Log.Debug("page refused", "op", v.r.Pattern, "err", err)
	}
	if f.code == codeSession {
		v.forget()
		return v.showFront(http.StatusUnauthorized, "", "Your login here has ended. Log in again.")
	}
	if f.retry > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(f.retry.Round(time.Second)/time.Second)))
	}
	w := wordsOf(f)
	return v.show(f.status, "error", sheet{Title: w.Title, Body: w})
}
