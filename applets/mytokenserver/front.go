package mytokenserver

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
	"github.com/oidcbox/oidcbox/store"
)

// Where the server answers beside the API and its pages.
const (
	healthPath  = "/health"
	readyPath   = "/ready"
	metricsPath = "/metrics"

	configurationPath = "/.well-known/mytoken-configuration"
	guestPath         = upstream.GuestPath + "/auth"
)

// front is what a listener for requests answers.
func (d *server) front() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case healthPath:
			d.health(w, r)
		case readyPath:
			d.ready(w, r)
		default:
			g := d.live.Acquire()
			defer g.Release()
			if g.guest != nil && r.URL.Path == guestPath {
				g.guest.ServeHTTP(w, r)
				return
			}
			g.handler.ServeHTTP(w, r)
		}
	})
}

// healthy is the answer of /health, in the form of the existing service.
type healthy struct {
	Healthy     bool       `json:"healthy"`
	Operational bool       `json:"operational"`
	Components  components `json:"components"`
	Version     string     `json:"version"`
	Timestamp   time.Time  `json:"timestamp"`
}

type components struct {
	Server    bool `json:"server_up"`
	Reachable bool `json:"server_reachable"`
	Database  bool `json:"database_up"`
	Cache     bool `json:"cache_up"` // there is none that could be down
}

// health says whether the server can do its work: healthy when all of it can be done, operational when it answers and its
// state does.
func (d *server) health(w http.ResponseWriter, r *http.Request) {
	up := d.reachable()
	a := healthy{
		Healthy: up && len(d.live.Current().providers.Degraded()) == 0, Operational: up,
		Components: components{Server: true, Reachable: d.answers(r), Database: up, Cache: true},
		Version:    d.env.Version, Timestamp: d.env.Now().UTC(),
	}
	status := http.StatusOK
	if !a.Operational {
		status = http.StatusServiceUnavailable
	}
	d.say(w, status, a)
}

// answers asks this server for its discovery document, as a client would.
func (d *server) answers(r *http.Request) bool {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, configurationPath, nil)
	if err != nil {
		return false
	}
	ask.RemoteAddr = r.RemoteAddr
	got := &statusOnly{header: http.Header{}}
	g := d.live.Acquire()
	defer g.Release()
	g.handler.ServeHTTP(got, ask)
	return got.status == http.StatusOK || got.status == http.StatusTooManyRequests
}

// statusOnly is a ResponseWriter that keeps nothing but the status.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header { return s.header }

func (s *statusOnly) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

func (s *statusOnly) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}

// readiness is the answer of /ready. Which providers are down is not told here: anybody who reaches us may ask.
type readiness struct {
	Status    string `json:"status"` // ready, degraded, not ready
	Providers int    `json:"providers"`
	Ready     int    `json:"providers_ready"`
}

// ready says whether requests should come here: the state answers. A provider that is down is no reason to send them
// elsewhere, since it is down there, too.
func (d *server) ready(w http.ResponseWriter, _ *http.Request) {
	a, status := readiness{Status: "ready"}, http.StatusOK
	for _, p := range d.live.Current().providers.Status() {
		a.Providers++
		if p.Ready {
			a.Ready++
		}
	}
	if a.Ready < a.Providers {
		a.Status = "degraded"
	}
	if !d.reachable() {
		a.Status, status = "not ready", http.StatusServiceUnavailable
	}
	d.say(w, status, a)
}

const (
	// reachLife is how long an answer of the state about itself is used: anybody may ask for it, as often as they like.
	reachLife = time.Second
	// reachWait is how long the state may take to answer.
	reachWait = 3 * time.Second
)

// reach remembers whether the state answered.
type reach struct {
	mu sync.Mutex
	at time.Time
	ok bool
}

// reachable asks the state for a row that is not there.
func (d *server) reachable() bool {
	d.reach.mu.Lock()
	defer d.reach.mu.Unlock()
	if now := d.env.Now(); d.reach.at.IsZero() || now.Sub(d.reach.at) >= reachLife || now.Before(d.reach.at) {
		ctx, cancel := context.WithTimeout(context.Background(), reachWait)
		defer cancel()
		err := d.state.Raw.View(ctx, func(store.Tx) error { return nil })
		if err != nil && d.reach.ok {
			d.log.Error("the state does not answer", "op", "health", "err", err)
		}
		d.reach.at, d.reach.ok = d.env.Now(), err == nil
	}
	return d.reach.ok
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
