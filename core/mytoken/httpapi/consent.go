package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Places of a login.
const (
	pathConsent  = "/c/{code}" // where a person decides
	pathRedirect = "/redirect" // where providers send browsers back to
)

func (a *API) loginRoutes() []Route {
	all := []Route{{Method: http.MethodPost, Path: pathConsent, Page: http.HandlerFunc(a.consent)}}
	if a.o.Pages == nil {
		all = append(all,
			Route{Method: http.MethodGet, Path: pathRedirect, Page: http.HandlerFunc(a.redirect)},
			Route{Method: http.MethodGet, Path: pathNative, Page: http.HandlerFunc(a.native)})
	}
	return all
}

// pathNative is where a browser ends up when a program has its mytoken.
const pathNative = "/native"

// native ends a login where there are no pages.
func (a *API) native(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", typeText)
	_, _ = w.Write([]byte("Success: the program that asked has its mytoken. This page can be closed.\n"))
}

// bindingName is the cookie that ties a login to the browser that agreed to it, the same as that of the pages. It has
// to come along when a provider on another site sends the browser back.
func (a *API) bindingName() string {
	if a.secure() {
		return "__Host-mytoken-login"
	}
	return "mytoken-login"
}

// secure reports whether browsers reach the server over TLS.
func (a *API) secure() bool { return strings.HasPrefix(a.base, "https://") }

// transferName is the cookie with a transfer code.
const transferName = "mytoken-transfercode"

// consent answers POST /c/<code>: a script's decision as JSON; a form's is the pages'.
func (a *API) consent(w http.ResponseWriter, r *http.Request) {
	if a.o.Pages != nil && form(r) {
		a.o.Pages.ServeHTTP(w, r)
		return
	}
	c, out, err := a.decide(w, r)
	if err == nil {
		err = a.send(w, c, out)
	}
	if err != nil {
		a.fail(w, r, err)
	}
}

func (a *API) decide(w http.ResponseWriter, r *http.Request) (*Call, Answer, error) {
	if !a.sameSite(r) {
		return nil, Answer{}, refuse(http.StatusForbidden, desk.CodeDenied, "the request comes from another site")
	}
	code := secret.FromString(cutText(r.PathValue("code"), maxToken))
	defer code.Wipe()
	b, err := httpd.ReadBody(w, r, maxBody)
	if err != nil {
		return nil, Answer{}, err
	}
	c := &Call{Request: r, Origin: OriginOf(r.Context()), api: a}
	if strings.TrimSpace(string(b)) == "" {
		to, err := a.o.Desk.Decline(r.Context(), code, c.Origin)
		return c, a.forward("url", to), err
	}
	if c.Body, err = readJSON(b); err != nil {
		return nil, Answer{}, err
	}
	terms, err := a.o.Desk.Terms(b)
	if err != nil {
		return nil, Answer{}, err
	}
	to, err := a.o.Desk.Accept(r.Context(), code, terms, c.Origin)
	if err != nil {
		return nil, Answer{}, err
	}
	out := a.forward("authorization_uri", to.URL)
	out.Cookies = a.bind(to.Binding)
	return c, out, nil
}

// bindingLife is longer than a login may take.
const bindingLife = time.Hour

func (a *API) loginCookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: a.bindingName(), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.secure(),
		MaxAge: maxAge,
	}
}

// bind ties the redirect of a login to this browser: with what desk.Redirect and desk.Begun have as Binding, where they
// have one.
func (a *API) bind(binding secret.Text) []*http.Cookie {
	if binding.Empty() {
		return nil
	}
	defer binding.Wipe()
	return []*http.Cookie{a.loginCookie(binding.Expose(), int(bindingLife/time.Second))}
}

// redirect answers GET /redirect: a browser that comes back from the provider.
func (a *API) redirect(w http.ResponseWriter, r *http.Request) {
	in := desk.Arrival{Query: r.URL.Query(), From: OriginOf(r.Context())}
	if k, err := r.Cookie(a.bindingName()); err == nil {
		in.Binding = secret.FromString(k.Value)
		defer in.Binding.Wipe()
	}
	l, err := a.o.Desk.LandIn(r.Context(), in)
	if err != nil {
		e := refusal(err)
		if e.Status == http.StatusInternalServerError {
			a.o.Log.ErrorContext(r.Context(), "request failed", "req", RequestID(r.Context()), "op", opOf(r), "err", err)
		}
		a.errorPage(w, r, e)
		return
	}
	defer l.Session.Wipe()
	if !in.Binding.Empty() {
		http.SetCookie(w, a.loginCookie("", -1))
	}
	a.session(w, l.Session)
	to := l.To
	if strings.HasPrefix(to, "/") {
		to = a.url(to)
	} else if to == "" {
		to = a.url("/home")
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// session gives a browser the mytoken of the web flow, or the transfer code for it.
func (a *API) session(w http.ResponseWriter, s *desk.Issued) {
	switch {
	case s == nil:
	case s.Kind == mytoken.KindTransferCode:
		k := sessionCookie(a.base, s.TransferCode.Expose(), time.Duration(s.ExpiresIn())*time.Second)
		k.Name = transferName
		http.SetCookie(w, k)
	default:
		http.SetCookie(w, a.cookie(s))
	}
}
