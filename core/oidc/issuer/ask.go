package issuer

import (
	"crypto/hmac"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// question is what a person is asked: to sign in and to let a client have something.
type question struct {
	path     string // "/authorize"
	client   party
	scope    []string
	audience []string
	userCode string        // device flow: the code to compare
	hint     string        // login_hint
	again    bool          // sign in although there is a session
	age      time.Duration // how old the session may be; negative: any
	redirect string        // where the browser goes after the last form, "" when it stays here
}

// reply is what came of it. Without done, a page was shown and the person has yet to decide.
type reply struct {
	done, refused bool
	user          User
	since         time.Time // when the person signed in
}

// visitor is a person who has signed in, and the cookie of the browser.
type visitor struct {
	user    User
	browser string
}

// sessionRow says who is signed in in a browser.
type sessionRow struct {
	Subject string `json:"sub"`
	Since   int64  `json:"since"`
}

const sessionTTL = 8 * time.Hour

// ask takes the person through signing in and agreeing, one page for each. The forms post to the same URL with the
// same query; each carries a token bound to the browser, the page and that URL, so a page of somebody else cannot send
// it, and agreement to one request is none to another.
func (i *Issuer) ask(w http.ResponseWriter, r *http.Request, q question) (reply, error) {
	if i.o.AutoLogin != "" {
		return i.askNobody(q)
	}
	if r.Method == http.MethodPost {
		return i.readReply(w, r, q)
	}
	s, ok, err := i.session(r)
	if err != nil {
		return reply{}, err
	}
	stale := q.age >= 0 && i.o.Now().Sub(time.Unix(s.Since, 0)) > q.age
	if u, known := i.userOf(s.Subject); ok && known && !q.again && !stale {
		return reply{}, i.showConsent(w, r, q, visitor{u, i.browser(w, r)})
	}
	return reply{}, i.showLogin(w, r, q, "")
}

// askNobody decides as the user that options or login_hint name would.
func (i *Issuer) askNobody(q question) (reply, error) {
	u, ok := i.userNamed(orDefault(q.hint, i.o.AutoLogin))
	if !ok {
		return reply{}, badRequest("login_hint names nobody here")
	}
	return reply{done: true, refused: u.Refuses, user: u, since: i.o.Now()}, nil
}

func (i *Issuer) readReply(w http.ResponseWriter, r *http.Request, q question) (reply, error) {
	form, err := readForm(w, r)
	if err != nil {
		return reply{}, err
	}
	page := form.Get("page")
	browser, err := r.Cookie(i.cookieName())
	if err != nil || !hmac.Equal([]byte(form.Get("csrf")), []byte(i.csrf(page, browser.Value, r))) {
		return reply{}, badRequest("the form is too old or was not made here: please start again")
	}
	if page == "login" {
		return reply{}, i.signIn(w, r, q, form.Get("login"))
	}
	s, ok, err := i.session(r)
	if err != nil {
		return reply{}, err
	}
	u, known := i.userOf(s.Subject)
	if page != "consent" || !ok || !known {
		return reply{}, badRequest("you are not signed in any more: please start again")
	}
	return reply{done: true, refused: u.Refuses || form.Has("refuse"), user: u, since: time.Unix(s.Since, 0)}, nil
}

// signIn starts a session under a new cookie, so that one planted before is worth nothing, and goes on to consent.
func (i *Issuer) signIn(w http.ResponseWriter, r *http.Request, q question, name string) error {
	u, ok := i.userNamed(name)
	if !ok {
		return i.showLogin(w, r, q, "There is no such account here.")
	}
	if err := i.sessions.take(r.Context(), i); err != nil {
		return err
	}
	cookie, now := random(32), i.o.Now()
	err := i.o.Engine.Update(r.Context(), func(tx store.WTx) error {
		row := sessionRow{Subject: u.Subject, Since: now.Unix()}
		return save(tx, slot{sessionTable(), digest(cookie), now.Add(sessionTTL)}, row)
	})
	if err != nil {
		return err
	}
	i.setCookie(w, cookie)
	return i.showConsent(w, r, q, visitor{u, cookie})
}

// session returns who is signed in in the browser.
func (i *Issuer) session(r *http.Request) (sessionRow, bool, error) {
	c, err := r.Cookie(i.cookieName())
	if err != nil {
		return sessionRow{}, false, nil
	}
	s, ok, err := find[sessionRow](r.Context(), i, sessionTable(), digest(c.Value))
	if err != nil || i.o.Now().Sub(time.Unix(s.Since, 0)) > sessionTTL {
		return sessionRow{}, false, err
	}
	return s, ok, nil
}

// browser returns the cookie of the browser, a new one when it has none.
func (i *Issuer) browser(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(i.cookieName()); err == nil && c.Value != "" {
		return c.Value
	}
	v := random(32)
	i.setCookie(w, v)
	return v
}

// cookieName differs between issuers on one host, which share cookies whatever their ports.
func (i *Issuer) cookieName() string { return "oidcbox_issuer_" + digest(i.o.URL)[:8] }

func (i *Issuer) setCookie(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: i.cookieName(), Value: value, Path: orDefault(i.base.EscapedPath(), "/"), HttpOnly: true,
		Secure: i.base.Scheme == "https", SameSite: http.SameSiteLaxMode,
	})
}

// csrf binds a form to its page, its browser and the URL it posts to.
func (i *Issuer) csrf(page, browser string, r *http.Request) string {
	sum := i.mac("form", strings.Join([]string{page, browser, r.URL.EscapedPath(), r.URL.RawQuery}, "\x00"))
	return base64.RawURLEncoding.EncodeToString(sum)
}

// formAction is where a form of this page posts to: the same URL.
func (i *Issuer) formAction(q question, r *http.Request) string {
	u := url.URL{Path: i.base.Path, RawPath: i.base.RawPath}
	return strings.TrimSuffix(u.EscapedPath(), "/") + q.path + "?" + r.URL.RawQuery
}
