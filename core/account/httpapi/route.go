package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// route is something that is served, at three prefixes unless it is bare.
type route struct {
	path    string
	summary string
	answer  func(c *call) error

	auth   bool     // a bearer token is needed
	params []string // that are needed, in the query, or of a POST in the body
	change bool     // it changes something: POST, and GET unless switched off
	post   bool     // POST alone
	bare   bool     // at no other prefix, and not in the description
	more   []string // further parameters, for the description
}

// list is the whole of what is served here.
func (a *API) list() []route {
	routes := []route{
		{path: "/", summary: "What this is", answer: a.root},
		{path: "/info", summary: "Supported issuers, how to log in, host keys", answer: a.getInfo},
		{path: "/info/op", summary: "What to ask an issuer for", answer: a.infoOP, params: []string{"url"}},
		{
			path: "/info/authorisation", summary: "Who of the token's issuer may have an account", answer: a.infoAuthorisation,
			auth: true,
		},
		{path: "/user", summary: "What there is for users", answer: a.userRoot},
		{path: "/user/get_status", summary: "State of the account", answer: a.getStatus, auth: true},
		{
			path: "/user/deploy", summary: "Have an account, with the groups of now", answer: a.deploy, auth: true, change: true,
		},
		{path: "/user/suspend", summary: "Stop the own account", answer: a.suspendSelf, auth: true, change: true},
		{
			path: "/user/generate_otp", summary: "Make a one-time password", answer: a.generateOTP, auth: true, change: true,
			more: []string{"form"},
		},
		{
			path: "/verify_user", summary: "May the bearer log in as a local user", answer: a.verifyUser, auth: true,
			params: []string{"username"},
		},
		{path: "/admin", summary: "What there is for administrators", answer: a.adminRoot},
		{
			path: "/admin/suspend", summary: "Stop an account", answer: a.adminSuspend, auth: true, change: true,
			params: []string{"sub", "iss"},
		},
		{
			path: "/admin/resume", summary: "Let an account be used again", answer: a.adminResume, auth: true, change: true,
			params: []string{"sub", "iss"},
		},
		{path: "/privacy", summary: "Privacy statement", answer: a.privacy},
		{path: "/openapi.json", answer: a.getOpenAPI, bare: true},
	}
	for _, p := range []string{a.o.Docs.Path, a.o.Docs.RedocPath} {
		if p != "" {
			routes = append(routes, route{path: p, answer: a.docs, bare: true})
		}
	}
	if a.o.Officer != nil {
		routes = append(routes, a.officerRoutes()...)
	}
	return routes
}

// prefixes are where every route is that is not bare.
func (a *API) prefixes() []string { return []string{"", "/api", "/api/" + a.o.Version} }

// table gives the route of every path, without a slash at its end.
func (a *API) table() (map[string]*route, error) {
	table := map[string]*route{}
	for _, r := range a.list() {
		prefixes := a.prefixes()
		if r.bare {
			prefixes = prefixes[:1]
		}
		for _, prefix := range prefixes {
			at := prefix + strings.TrimSuffix(r.path, "/")
			if table[at] != nil {
				return nil, fmt.Errorf("%w: there are two routes for %s", ErrOptions, at)
			}
			table[at] = &r
		}
	}
	return table, nil
}

// call is a request on its way.
type call struct {
	context.Context
	w     *answered
	r     *http.Request
	from  netip.Addr
	token secret.Text // what stood behind "Bearer", for routes with auth
	args  url.Values
}

func (c *call) arg(name string) string { return c.args.Get(name) }

// answered remembers what was answered.
type answered struct {
	http.ResponseWriter
	code int
}

func (s *answered) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (s *answered) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// serve is around everything: limits, routes, failures, and panics.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	start := a.o.Now()
	c := &call{Context: r.Context(), w: &answered{ResponseWriter: w}, r: r, from: a.o.Proxies.Client(r)}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	op := "unknown"
	defer func() {
		if v := recover(); v != nil {
			a.panicked(c, v)
		}
		if a.o.Seen != nil {
			a.o.Seen(r.Context(), op, c.w.code, a.o.Now().Sub(start))
		}
	}()
	path := strings.TrimSuffix(r.URL.Path, "/")
	found := a.routes[path]
	err := a.o.Limiter.address(c.from)
	switch {
	case err != nil:
	case r.URL.Path == "/api":
		h.Set("Location", "/api/")
		c.w.WriteHeader(http.StatusTemporaryRedirect)
	case found == nil:
		err = detail(http.StatusNotFound, "Not Found")
	default:
		op = found.path
		err = a.call(c, found)
	}
	if err != nil {
		a.fail(c, op, err)
	}
}

// call answers a request that a route was found for: method, header, parameters and token are looked at in the order in
// which motley-cue does it, since clients see which is missing.
func (a *API) call(c *call, r *route) error {
	if err := a.method(c, r); err != nil {
		return err
	}
	if r.auth {
		var err error
		if c.token, err = bearer(c.r.Header); err != nil {
			return err
		}
		defer c.token.Wipe()
	}
	if err := a.arguments(c, r); err != nil {
		return err
	}
	return r.answer(c)
}

func (a *API) method(c *call, r *route) error {
	get := !r.post && (!r.change || !a.o.NoGet)
	post := r.post || r.change
	switch m := c.r.Method; {
	case get && m == http.MethodGet, post && m == http.MethodPost:
		return nil
	}
	allow := http.MethodGet
	switch {
	case get && post:
		allow = "GET, POST"
	case post:
		allow = http.MethodPost
	}
	c.w.Header().Set("Allow", allow)
	return detail(http.StatusMethodNotAllowed, "Method Not Allowed")
}

// maxForm bounds the body of a POST.
const maxForm = 64 << 10

// arguments reads query and form. A parameter that is there twice has no value anybody could rely on.
func (a *API) arguments(c *call, r *route) error {
	if len(r.params) == 0 && len(r.more) == 0 {
		return nil
	}
	var err error
	if c.args, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return detail(http.StatusBadRequest, "1 request validation error: query could not be read")
	}
	if c.r.Method == http.MethodPost {
		if err := c.form(); err != nil {
			return err
		}
	}
	var missing []string
	for _, p := range r.params {
		switch n := len(c.args[p]); {
		case n == 0:
			missing = append(missing, "Field required (query -> "+p+")")
		case n > 1:
			missing = append(missing, "Input should be a valid string (query -> "+p+")")
		}
	}
	for _, p := range r.more {
		if len(c.args[p]) > 1 {
			missing = append(missing, "Input should be a valid string (query -> "+p+")")
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return detail(http.StatusBadRequest, "1 request validation error: "+missing[0])
	}
	return detail(http.StatusBadRequest,
		fmt.Sprintf("%d request validation errors: %s", len(missing), strings.Join(missing, "; ")))
}

// form adds what the body of a POST says, when it is a form.
func (c *call) form() error {
	kind, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil
	}
	b, err := httpd.ReadBody(c.w, c.r, maxForm)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return detail(http.StatusRequestEntityTooLarge, "Request body is too large")
		}
		return detail(http.StatusBadRequest, "1 request validation error: body could not be read")
	}
	defer clear(b)
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return detail(http.StatusBadRequest, "1 request validation error: body could not be read")
	}
	for name, values := range form {
		c.args[name] = append(c.args[name], values...)
	}
	return nil
}

// panicked tells the log and ends the request. The value of a panic may hold a secret, so its kind alone is told.
func (a *API) panicked(c *call, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
		panic(v)
	}
	a.o.Log.Error("request panicked", "err", fmt.Sprintf("panic with a value of type %T", v), "stack",
		string(debug.Stack()))
	if c.w.code != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	c.text(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Internal Server Error"))
}

// took is how long Retry-After asks to wait, in whole seconds.
func took(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
