package httpapi

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Endpoint answers a request to the API. A *desk.Error is told to the caller, another error is not.
type Endpoint func(c *Call) (Answer, error)

// Route is something that is served. API and Page exclude each other.
type Route struct {
	Method string // "" = any
	Path   string // as http.ServeMux has it: "/calendars/{id}"
	// API answers by the rules of the API. With Forms its body may also be a form or XML, else it is JSON whatever its
	// content type says.
	API   Endpoint
	Forms bool
	// Page answers as it likes, with the security headers of pages set already.
	Page http.Handler
}

// Paths of the API.
const (
	pathAPI = "/api"
	pathV0  = "/api/v0"
)

// routes is the whole of what is served here.
func (a *API) routes() []Route {
	return slices.Concat(a.discoveryRoutes(), a.tokenRoutes(), a.loginRoutes(), a.infoRoutes(), a.revokeRoutes(),
		a.settingsRoutes(), a.templateRoutes(), a.standardRoutes(), a.o.Mount)
}

func (a *API) mux() (h http.Handler, err error) {
	defer func() { // two routes for one request: http.ServeMux says so by a panic
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrOptions, v)
		}
	}()
	mux := http.NewServeMux()
	for _, route := range a.routes() {
		pattern := strings.TrimSpace(route.Method + " " + route.Path)
		switch {
		case route.API != nil && route.Page == nil:
			mux.Handle(pattern, a.endpoint(route))
		case route.Page != nil && route.API == nil && !strings.HasPrefix(route.Path, pathAPI+"/"):
			mux.Handle(pattern, route.Page)
		default:
			return nil, fmt.Errorf("%w: route %s has to be an endpoint of the API or a page", ErrOptions, pattern)
		}
	}
	unknown := http.HandlerFunc(a.unknown)
	mux.Handle(pathAPI, unknown)
	mux.Handle(pathAPI+"/", unknown)
	pages := a.o.Pages
	if pages == nil {
		pages = http.HandlerFunc(a.nowhere)
	}
	mux.Handle("/", pages)
	return a.outermost(mux), nil
}

// outermost is around everything: who asks, headers, limits, and panics.
func (a *API) outermost(mux *http.ServeMux) http.Handler {
	return httpd.Handle(a.o.Log, func(w http.ResponseWriter, r *http.Request) error {
		start := a.o.Now()
		r, id := a.origins.tell(r)
		w.Header().Set(headerID, id)
		trimSlash(r)
		a.headers(w.Header(), r)
		if preflight(w, r) {
			return nil
		}
		seen := &status{ResponseWriter: w}
		switch {
		case below(r.URL.Path, pathAPI) && path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath():
			a.unknown(seen, r)
		default:
			err := a.o.Gate.address(r)
			switch {
			case err == nil:
				mux.ServeHTTP(seen, r)
			case person(r):
				a.errorPage(seen, r, refusal(err))
			default:
				a.fail(seen, r, err)
			}
		}
		if a.o.Seen != nil {
			a.o.Seen(r.Context(), opOf(r), seen.code, a.o.Now().Sub(start))
		}
		return nil
	})
}

// trimSlash lets the API be asked with a slash at the end, as the original does.
func trimSlash(r *http.Request) {
	if u := r.URL; below(u.Path, pathAPI) && strings.HasSuffix(u.Path, "/") {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	}
}

func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// endpoint makes a handler of an endpoint of the API.
func (a *API) endpoint(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := a.read(w, r, route.Forms)
		if err == nil {
			var out Answer
			if out, err = route.API(c); err == nil {
				err = a.send(w, c, out)
			}
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *API) read(w http.ResponseWriter, r *http.Request, forms bool) (*Call, error) {
	c := &Call{Request: r, Origin: OriginOf(r.Context()), api: a}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return c, nil
	}
	b, err := httpd.ReadBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if forms {
		c.Body, err = readBody(r.Header.Get("Content-Type"), b)
	} else {
		c.Body, err = readJSON(b)
	}
	return c, err
}

// unknown answers below /api for what there is not: also for a method that a path does not have.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	a.fail(w, r, refuse(http.StatusNotFound, desk.CodeNotFound, r.URL.Path))
}

// nowhere answers outside of the API for what there is not.
func (a *API) nowhere(w http.ResponseWriter, r *http.Request) {
	a.errorPage(w, r, refuse(http.StatusNotFound, desk.CodeNotFound, "there is no such page"))
}

// person reports whether a browser asks for a page, and no program for an answer.
func person(r *http.Request) bool {
	return !shared(r.URL.Path) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// errorPage tells a person of a refusal.
func (a *API) errorPage(w http.ResponseWriter, r *http.Request, e *desk.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wholeSeconds(e.RetryAfter)))
	}
	if a.o.ErrorPage != nil {
		a.o.ErrorPage(w, r, e)
		return
	}
	w.Header().Set("Content-Type", typeText)
	w.WriteHeader(e.Status)
	text := e.Code
	if e.Description != "" {
		text += ": " + plain(e.Description)
	}
	_, _ = w.Write([]byte(text + "\n"))
}

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
