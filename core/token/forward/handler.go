package forward

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/httpauth"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// Gate says yes or no. *gate.Gate is one.
type Gate interface {
	// DecideAll believes a token and asks the policy about every one of rs; a no is a *gate.Refusal.
	DecideAll(ctx context.Context, p gate.Presented, rs []policy.Request) (gate.Outcome, error)
	// Refused is told of requests that were refused before DecideAll could be asked, and of trouble after it.
	Refused(r policy.Request, refusal *gate.Refusal) *gate.Refusal
}

// Options are what a handler works with.
type Options struct {
	Gate     Gate
	Services []Service
	// ProofAlgs are the algorithms of DPoP proofs the gate takes, told in challenges and metadata; nil: none are offered.
	ProofAlgs []jose.Alg
	MaxToken  int // bytes; 0: jose.MaxToken
}

// Handler answers proxies and serves the metadata of the services. It does not change and may be used by many
// goroutines.
type Handler struct {
	gate     Gate
	table    table
	algs     []jose.Alg
	maxToken int

	noStore, ok []string // values of headers that every yes has
}

// New returns the handler, or all that is wrong with the services (ErrConfig).
func New(o Options) (*Handler, error) {
	t, err := newTable(o.Services, o.ProofAlgs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if o.Gate == nil {
		return nil, fmt.Errorf("%w: there is no gate", ErrConfig)
	}
	return &Handler{
		gate: o.Gate, table: t, algs: o.ProofAlgs, maxToken: o.MaxToken,
		noStore: []string{"no-store"}, ok: []string{"200"},
	}, nil
}

// Serves reports whether a request is for this handler. It looks at the target as it was sent; whoever puts the
// handler beside others asks this before any [http.ServeMux], which would answer "//" and ".." in what Envoy asks
// with a redirect.
func (h *Handler) Serves(r *http.Request) bool {
	return strings.HasPrefix(r.RequestURI, prefix) || strings.HasPrefix(r.RequestURI, wellKnown)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.RequestURI, wellKnown) {
		h.serveMetadata(w, r)
		return
	}
	proxy, rest, ok := route(r.RequestURI)
	if !ok {
		http.NotFound(w, r)
		return
	}
	h.answer(w, r, proxy, rest)
}

// answer goes through one request of a proxy: what was asked, of which service, by whom.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, proxy Proxy, rest string) {
	q := question{handler: h, proxy: proxy, request: r}
	out, known, err := q.decide(rest)
	switch {
	case err != nil:
	case known:
		err = q.allow(w.Header(), &out)
	default:
		err = q.allow(w.Header(), nil)
	}
	if err != nil {
		q.refuse(w, gate.RefusalOf(err))
		return
	}
	w.WriteHeader(http.StatusOK)
}

// question is the state of one request of a proxy.
type question struct {
	handler *Handler
	proxy   Proxy
	request *http.Request

	original original
	service  *service // nil as long as it is not known
	scheme   gate.Scheme
	asked    policy.Request
}

// decide returns the outcome of a yes, and whether it is somebody's: it is not where nobody is needed. Else it returns
// a *gate.Refusal. The gate has been told of it.
func (q *question) decide(rest string) (out gate.Outcome, known bool, err error) {
	requests, err := q.understand(rest)
	if err != nil {
		return out, false, q.refused(err)
	}
	if q.service.Preflight && isPreflight(q.original.method, q.request.Header) {
		return out, false, nil
	}
	shown, err := q.present()
	defer shown.Token.Wipe()
	q.scheme = shown.Scheme
	if err != nil {
		return out, false, q.refused(err)
	}
	out, err = q.handler.gate.DecideAll(q.request.Context(), shown, requests)
	return out, err == nil, err
}

// understand finds out what was asked for: the service, and what the policy is to be asked about.
func (q *question) understand(rest string) ([]policy.Request, error) {
	var err error
	if q.original, err = readOriginal(q.proxy, rest, q.request); err != nil {
		return nil, err
	}
	o := &q.original
	q.asked.Method = o.method
	if o.parsed, err = parsePath(o.path); err != nil {
		return nil, err
	}
	q.asked.Path = o.path
	if q.service = q.handler.table.find(q.proxy, o.name, o.parsed); q.service == nil {
		return nil, nowhere(q.proxy, o.name)
	}
	q.asked.Service = q.service.Name
	if !q.handler.table.sureOf(q.service, o.name, o.path) {
		return nil, denied("the path cannot be read in one way only")
	}
	if err := q.service.forged(q.request.Header); err != nil {
		return nil, err
	}
	requests, err := q.service.requests(*o, q.request.Header, q.handler.table)
	if err != nil {
		return nil, err
	}
	return requests, nil
}

// present reads the token of the client's request as the client sent it: with its own query, in which a second token
// may be, and without the body, which proxies keep to themselves.
func (q *question) present() (gate.Presented, error) {
	o := &q.original
	shown, err := httpauth.ExtractHeader(q.request.Header, o.query, httpauth.Ways{MaxToken: q.handler.maxToken})
	if shown.Scheme == gate.DPoP { // only a proof is for a method and a URL
		origin := "https://" + o.host
		if q.service.metadata != nil {
			origin = q.service.metadata.origin
		}
		shown.Method, shown.URL = o.method, origin+o.path
	}
	if err != nil {
		return shown, err
	}
	shown.Certificate, err = q.service.certificate(q.request.Header)
	return shown, err
}

// refused tells the gate of a refusal of ours.
func (q *question) refused(err error) error {
	return q.handler.gate.Refused(q.asked, gate.RefusalOf(err))
}

// allow writes the headers of a yes.
func (q *question) allow(h http.Header, out *gate.Outcome) error {
	if err := q.service.identify(h, out); err != nil {
		return q.refused(failed(err))
	}
	// Each slice is of its own length: who appends to one gets a copy.
	h["Cache-Control"], h[StatusHeader] = q.handler.noStore, q.handler.ok
	return nil
}

// refuse writes a no in the form the proxy passes on.
func (q *question) refuse(w http.ResponseWriter, no *gate.Refusal) {
	challenge := httpauth.Challenge{Algs: q.handler.algs}
	h := w.Header()
	unavailable := http.StatusInternalServerError
	if s := q.service; s != nil {
		challenge.Realm, challenge.Scope = s.Realm, s.Scopes
		if s.metadata != nil {
			challenge.ResourceMetadata = s.metadata.url
		}
		s.silence(h)
		unavailable = s.UnavailableAs
	} else {
		q.handler.table.silence(h, q.proxy)
	}
	answer := challenge.Answer(q.scheme, no)
	h[StatusHeader] = []string{strconv.Itoa(answer.Status)}
	if q.proxy == Nginx {
		answer.Status = nginxStatus(answer.Status, unavailable)
	}
	answer.Write(w)
}

// nginxStatus is one that auth_request does not turn into 500 by itself: 401 and 403 stay, and what is the client's
// fault is 401, whose headers reach it.
func nginxStatus(status, unavailable int) int {
	switch {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return status
	case status == http.StatusServiceUnavailable:
		return unavailable
	case status < http.StatusInternalServerError:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// isPreflight recognises the request a browser sends before one that needs a token (Fetch, CORS-preflight request).
func isPreflight(method string, h http.Header) bool {
	return method == http.MethodOptions && len(h["Authorization"]) == 0 &&
		len(h["Origin"]) == 1 && len(h["Access-Control-Request-Method"]) == 1
}
