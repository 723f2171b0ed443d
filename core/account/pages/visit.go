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
	"net/netip"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Limits of what a browser sends.
const (
	maxForm  = 16 << 10 // bytes of a form
	maxQuery = 16 << 10 // bytes of a path with its query
	maxValue = 128      // bytes of a cookie of ours
)

// Cookies of the pages. Where the server is https their names begin with __Host-: no other host can set them.
const (
	cookieBrowser = "ssh-browser" // what forms are bound to
	cookieSession = "ssh-session" // names the session
	cookieLogin   = "ssh-login"   // what the redirect from the provider is bound to, one for each login
)

// visit is one request of a browser and its answer.
type visit struct {
	p       *Pages
	w       http.ResponseWriter
	r       *http.Request
	from    netip.Addr
	browser string // of the cookie, made new where there was none
	session string // of the cookie, "" for none
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
		if retry, ok := p.o.Visits.Take(p.address(v.from)); !ok {
			return v.fail(&fault{status: http.StatusTooManyRequests, code: codeTooMany, retry: retry})
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
			return &fault{status: http.StatusForbidden, code: codeForeign, err: err}
		}
		kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return &fault{status: http.StatusUnsupportedMediaType, code: codeRequest, err: errForm}
		}
		body, err := httpd.ReadBody(v.w, v.r, maxForm)
		if err != nil {
			return &fault{status: http.StatusRequestEntityTooLarge, code: codeRequest, err: err}
		}
		if v.form, err = url.ParseQuery(string(body)); err != nil {
			return &fault{status: http.StatusBadRequest, code: codeRequest, err: errForm}
		}
		if v.browser == "" || subtle.ConstantTimeCompare([]byte(v.form.Get("csrf")), []byte(v.token())) != 1 {
			return &fault{status: http.StatusForbidden, code: codeStale, err: errStale}
		}
		return fn(v)
	}
}

var (
	errForm  = errors.New("what was sent is not a form")
	errStale = errors.New("the form does not belong to this browser and session")
)

// token is what forms of this page carry: it belongs to the browser, the session and the link in the path.
func (v *visit) token() string {
	m := hmac.New(sha256.New, []byte(v.browser))
	for _, part := range []string{v.r.PathValue("link"), v.session} {
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
		h.Get("Sec-Fetch-Mode") == "navigate" && v.r.URL.Path != v.p.base+pathBack
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
	if err != nil || len(c.Value) > maxValue {
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

// begin gives the browser a session.
func (v *visit) begin(name string, life time.Duration) {
	v.session = name
	v.setCookie(http.Cookie{
		Name: cookieSession, Value: name, MaxAge: max(1, int(life/time.Second)), SameSite: http.SameSiteStrictMode,
	})
}

// forget takes the session from the browser.
func (v *visit) forget() {
	v.session = ""
	v.setCookie(http.Cookie{Name: cookieSession, MaxAge: -1, SameSite: http.SameSiteStrictMode})
}

// loginCookie is the cookie of the login with that state, so that logins in several tabs do not disturb each other.
func loginCookie(state string) string {
	sum := sha256.Sum256([]byte(state))
	return cookieLogin + "-" + base64.RawURLEncoding.EncodeToString(sum[:9])
}
