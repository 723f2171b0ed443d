package verifier

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

// Where the daemon answers beside what its proxies ask.
const (
	introspectPath = "/introspect"
	healthPath     = "/health"
	readyPath      = "/ready"
	metricsPath    = "/metrics"
)

// front is what one listener answers.
type front struct {
	d    *server
	unix bool
}

// ServeHTTP goes by the target as it was sent: a mux would answer "//" and ".." in what Envoy asks with a redirect.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := f.d.live.Acquire()
	defer g.Release()
	if g.forward != nil && g.forward.Serves(r) {
		if f.admits(w, r, g) {
			g.forward.ServeHTTP(w, r)
		}
		return
	}
	switch r.URL.Path {
	case healthPath:
		f.d.health(w, r)
	case readyPath:
		f.d.ready(w, r)
	case introspectPath:
		f.introspect(w, r, g)
	case metricsPath:
		if !g.metrics {
			http.NotFound(w, r)
		} else if f.admits(w, r, g) {
			f.d.page(w, r)
		}
	default:
		http.NotFound(w, r)
	}
}

func (f front) introspect(w http.ResponseWriter, r *http.Request, g *generation) {
	h := g.overTCP
	if f.unix {
		h = g.overUnix
	}
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h.ServeHTTP(w, r)
}

// admits says whether a request may be one of our proxies'. Whoever reaches a Unix socket was let in by its mode.
func (f front) admits(w http.ResponseWriter, r *http.Request, g *generation) bool {
	if f.unix {
		return true
	}
	err := g.proxies.check(r)
	if err == nil {
		return true
	}
	f.d.numbers.foreign.Add(1)
	f.d.log.Debug("a request that is not of our proxies", "op", "admit", "from", r.RemoteAddr, "err", err)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte("This service answers its own proxies only (proxies in its configuration).\n"))
	return false
}

var (
	errAddress = errors.New("address is not one of proxies.trusted")
	errSecret  = errors.New("secret of the proxies is missing or wrong")
)

// guard knows our proxies.
type guard struct {
	trusted []netip.Prefix
	header  string
	hash    [sha256.Size]byte
	secret  bool
}

func newGuard(p proxies) guard {
	g := guard{trusted: p.trusted, header: http.CanonicalHeaderKey(p.header), secret: !p.secret.Empty()}
	_ = p.secret.Use(func(b []byte) error { g.hash = sha256.Sum256(b); return nil })
	return g
}

// check refuses a request over TCP unless it comes from a trusted address (this machine's own always is one) and has
// the secret, each where it is configured. The header is taken off: nobody behind needs it.
func (g guard) check(r *http.Request) error {
	if len(g.trusted) > 0 && !g.near(r.RemoteAddr) {
		return errAddress
	}
	if !g.secret {
		return nil
	}
	values := r.Header[g.header]
	delete(r.Header, g.header)
	if len(values) != 1 {
		return errSecret
	}
	given := sha256.Sum256([]byte(values[0]))
	if subtle.ConstantTimeCompare(given[:], g.hash[:]) != 1 {
		return errSecret
	}
	return nil
}

func (g guard) near(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	host, _, _ = strings.Cut(host, "%")
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return true
	}
	for _, p := range g.trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// health says that the process answers.
func (d *server) health(w http.ResponseWriter, _ *http.Request) {
	d.say(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness is the answer of /ready. Which issuers are trusted is not told here: anybody who reaches us may ask.
type readiness struct {
	Status  string `json:"status"`
	Issuers int    `json:"issuers"`
	Ready   int    `json:"issuers_with_keys"`
}

// ready says whether tokens can be judged: the keys of at least one issuer are at hand.
func (d *server) ready(w http.ResponseWriter, _ *http.Request) {
	a := readiness{Status: "ready"}
	fetched := 0
	for _, s := range d.keys.Status() {
		fetched++
		if s.Keys > 0 {
			a.Ready++
		}
	}
	a.Issuers = len(d.live.Current().gate.Issuers())
	a.Ready += a.Issuers - fetched // the others' keys are in files
	status := http.StatusOK
	if a.Ready == 0 {
		a.Status, status = "no keys", http.StatusServiceUnavailable
	}
	d.say(w, status, a)
}

func (d *server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", metrics.ContentType)
	_ = d.numbers.set.Write(w) // that the client has gone away is not ours to report
}

func (d *server) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	if err := httpd.WriteJSON(w, status, v); err != nil {
		d.log.Debug("answer was not written", "err", err)
	}
}
