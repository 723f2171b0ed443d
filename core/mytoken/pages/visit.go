package pages

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Limits of what a browser sends.
const (
	maxForm  = 256 << 10 // bytes of a form: 64 clauses with all their fields
	maxQuery = 16 << 10  // bytes of a query: the request of a link
)

// Cookies of the pages. Where the server is https their names begin with __Host-: no other host can set them.
const (
	cookieBrowser = "mytoken-browser" // what forms are bound to
	cookieSession = "mytoken-session" // the mytoken of the session
	cookieLogin   = "mytoken-login"   // what the redirect from the provider is bound to
	cookiePending = "mytoken-pending" // the code of a mytoken that is being made
	cookieAPI     = "mytoken"         // the session, for the API
)

// visit is one request of a browser and its answer.
type visit struct {
	p       *Pages
	w       http.ResponseWriter
	r       *http.Request
	from    desk.Origin
	browser string // of the cookie, made new where there was none
	session string // the mytoken of the session, "" for none
	form    url.Values
}

// reply answers a visit, or returns why not before anything was written.
type reply func(v *visit) error

// page makes fn a handler: what it returns as an error is a page, too.
func (p *Pages) page(fn reply) http.Handler {
	return httpd.Handle(p.o.Log, func(w http.ResponseWriter, r *http.Request) error {
		v := p.enter(w, r)
		if v.bounced() {
			return v.bounce()
		}
		if err := fn(v); err != nil {
			return v.fail(err)
		}
		return nil
	})
}

func (p *Pages) enter(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{p: p, w: w, r: r, from: p.o.Origin(r)}
	v.browser, v.session = v.cookie(cookieBrowser), v.cookie(cookieSession)
	return v
}

// guarded lets a POST through that comes from a page of ours in this browser.
func (p *Pages) guarded(fn reply) reply {
	return func(v *visit) error {
		if err := p.cross.Check(v.r); err != nil {
			return &desk.Error{Status: http.StatusForbidden, Code: codeForeign, Err: err}
		}
		kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return &desk.Error{Status: http.StatusUnsupportedMediaType, Code: desk.CodeRequest, Description: "not a form"}
		}
		body, err := httpd.ReadBody(v.w, v.r, maxForm)
		if err != nil {
			return &desk.Error{Status: http.StatusRequestEntityTooLarge, Code: desk.CodeRequest, Err: err}
		}
		if v.form, err = url.ParseQuery(string(body)); err != nil {
			return &desk.Error{Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "not a form", Err: err}
		}
		if v.browser == "" || subtle.ConstantTimeCompare([]byte(v.form.Get("csrf")), []byte(v.token())) != 1 {
			return &desk.Error{Status: http.StatusForbidden, Code: codeStale, Err: errStale}
		}
		return fn(v)
	}
}

var errStale = errors.New("the form does not belong to this browser and session")

// token is what forms of this page carry: it belongs to the browser, the session and the code in the path.
func (v *visit) token() string {
	m := hmac.New(sha256.New, []byte(v.browser))
	for _, part := range []string{v.r.PathValue("code"), v.session} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		m.Write(size[:])
		m.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// mark gives a browser that has none the cookie that its forms are bound to. One that keeps its cookies back because
// another site sent it here has one, perhaps, and a new one would make the forms in its other windows worthless.
func (v *visit) mark() {
	if v.browser == "" && v.r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		v.browser = rand.Text()
		v.setCookie(http.Cookie{Name: cookieBrowser, Value: v.browser, SameSite: http.SameSiteStrictMode})
	}
}

// bounced reports whether the request comes from another site, for which the browser keeps our cookies back.
func (v *visit) bounced() bool {
	h := v.r.Header
	return v.r.Method == http.MethodGet && v.browser == "" && h.Get("Sec-Fetch-Site") == "cross-site" &&
		h.Get("Sec-Fetch-Mode") == "navigate" && v.r.URL.Path != v.p.base+"/redirect"
}

// bounce has the browser ask again, from a page of ours and therefore with its cookies. It says nothing of the person.
func (v *visit) bounce() error {
	to := v.r.URL.EscapedPath()
	if v.r.URL.RawQuery != "" {
		to += "?" + v.r.URL.RawQuery
	}
	if len(to) > maxQuery || len(to) < 2 || to[0] != '/' || to[1] == '/' || to[1] == '\\' {
		to = v.p.base + "/"
	}
	return v.goOn(to, "")
}

func (v *visit) cookie(name string) string {
	if v.p.secure {
		name = "__Host-" + name
	}
	c, err := v.r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie of the pages, or removes it where MaxAge is negative. Scripts do not see it.
func (v *visit) setCookie(c http.Cookie) {
	c.Path, c.HttpOnly, c.Secure = "/", true, v.p.secure
	if v.p.secure {
		c.Name = "__Host-" + c.Name
	}
	http.SetCookie(v.w, &c)
}

// caller is who makes requests with the session.
func (v *visit) caller() desk.Caller {
	return desk.Caller{Mytoken: secret.FromString(v.session), Origin: v.from}
}

// renewed keeps what the session is from now on.
func (v *visit) renewed(update *desk.Issued) {
	if update != nil && !update.Token.Empty() {
		v.setSession(update.Token, update.Expires, true)
		update.Wipe()
	}
}

// setSession gives the browser a mytoken: in the cookie of the API, which has a path of its own, and where ours says
// that the login was one for these pages, in theirs.
func (v *visit) setSession(mt secret.Text, expires time.Time, ours bool) {
	age := v.p.o.SessionLife
	if !expires.IsZero() {
		age = min(age, expires.Sub(v.p.o.Now()))
	}
	seconds := max(1, int(age/time.Second))
	v.setAPICookie(mt.Expose(), seconds)
	if ours {
		v.session = mt.Expose()
		v.setCookie(http.Cookie{
			Name: cookieSession, Value: v.session, MaxAge: seconds, SameSite: http.SameSiteStrictMode,
		})
	}
}

func (v *visit) setAPICookie(value string, seconds int) {
	http.SetCookie(v.w, &http.Cookie{
		Name: cookieAPI, Value: value, Path: v.p.base + "/api", MaxAge: seconds,
		HttpOnly: true, Secure: v.p.secure, SameSite: http.SameSiteStrictMode,
	})
}

// forget logs the browser out.
func (v *visit) forget() {
	v.session = ""
	v.setCookie(http.Cookie{Name: cookieSession, MaxAge: -1, SameSite: http.SameSiteStrictMode})
	v.setAPICookie("", -1)
}

// me is the mom_id of the session, "" where it has none to read.
func (v *visit) me() string {
	c, err := mytoken.ReadClaims(secret.FromString(v.session))
	if err != nil {
		return ""
	}
	return c.MOMID()
}

// bind ties the redirect that follows from a login to this browser. The cookie is Lax: the redirect comes from another
// site.
func (v *visit) bind(g desk.Redirect, state string) {
	if g.Binding.Empty() {
		return
	}
	v.setCookie(http.Cookie{
		Name: loginCookie(state), Value: g.Binding.Expose(), MaxAge: int(loginLife / time.Second),
		SameSite: http.SameSiteLaxMode,
	})
}

// loginLife is how long the cookie of a login lives: longer than any login.
const loginLife = time.Hour

// loginCookie is the cookie of the login with that state, so that logins in several tabs do not disturb each other. A
// state that a browser does not see (RFC 9126) has none of its own.
func loginCookie(state string) string {
	if state == "" {
		return cookieLogin
	}
	sum := sha256.Sum256([]byte(state))
	return cookieLogin + "-" + base64.RawURLEncoding.EncodeToString(sum[:9])
}

func stateOf(authorization string) string {
	u, err := url.Parse(authorization)
	if err != nil {
		return ""
	}
	return u.Query().Get("state")
}
