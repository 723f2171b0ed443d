package provisioner

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
	"github.com/oidcbox/oidcbox/store"
)

// Where the server answers beside its interface and its pages.
const (
	healthPath  = "/health"
	readyPath   = "/ready"
	metricsPath = "/metrics"
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
			g.handler.ServeHTTP(w, r)
		}
	})
}

// healthy is the answer of /health and /ready. Why something is not well is in the log: anybody who reaches us may ask.
type healthy struct {
	Status string `json:"status"` // ok, or what does not answer
	State  bool   `json:"state"`
	Worker bool   `json:"accounts"`
}

// health says that the process answers, whatever else does not: who restarts it by that would not mend a database.
func (d *server) health(w http.ResponseWriter, r *http.Request) {
	d.say(w, http.StatusOK, d.look(r.Context()))
}

// ready says whether requests should come here: state and worker answer.
func (d *server) ready(w http.ResponseWriter, r *http.Request) {
	a, status := d.look(r.Context()), http.StatusOK
	if !a.State || !a.Worker {
		status = http.StatusServiceUnavailable
	}
	d.say(w, status, a)
}

const (
	// reachLife is how long an answer about state and worker is used: anybody may ask for it, as often as they like.
	reachLife = time.Second
	// reachWait is how long they may take to answer.
	reachWait = 3 * time.Second
)

// reach remembers whether state and worker answered.
type reach struct {
	mu            sync.Mutex
	at            time.Time
	state, worker bool
}

func (d *server) look(ctx context.Context) healthy {
	d.reach.mu.Lock()
	defer d.reach.mu.Unlock()
	if now := d.env.Now(); d.reach.at.IsZero() || now.Sub(d.reach.at) >= reachLife || now.Before(d.reach.at) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachWait)
		defer cancel()
		first := d.reach.at.IsZero()
		err := d.state.Raw.View(ctx, func(store.Tx) error { return nil })
		if err != nil && (first || d.reach.state) {
			d.log.Error("the state does not answer", "op", "health", "err", err)
		}
		d.reach.state = err == nil
		err = asks(ctx, d.system)
		if err != nil && (first || d.reach.worker) {
			d.log.Error("the worker does not answer", "op", "health", "err", err)
		}
		d.reach.worker, d.reach.at = err == nil, d.env.Now()
	}
	a := healthy{Status: "ok", State: d.reach.state, Worker: d.reach.worker}
	switch {
	case !a.State:
		a.Status = "the state does not answer"
	case !a.Worker:
		a.Status = "nobody makes accounts"
	}
	return a
}

// nobodysName is a name that every account system can be asked for.
const nobodysName = "oidcbox-health"

// asks puts a question to the account system that costs little.
func asks(ctx context.Context, system backend.System) error {
	_, err := system.Holder(ctx, nobodysName)
	return err
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
