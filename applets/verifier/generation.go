package verifier

import (
	"net/http"
	"sync"

	"github.com/oidcbox/oidcbox/core/token/forward"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/introspection"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// live is the generation that answers now.
type live struct {
	mu     sync.RWMutex
	now    *generation
	ending sync.WaitGroup // of those before
}

// acquire returns the generation to answer one request with, which has to be released. Requests that began under an old
// configuration end under it.
func (l *live) acquire() *generation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.now.users.Add(1)
	return l.now
}

func (l *live) current() *generation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now
}

func (l *live) swap(next *generation) {
	l.mu.Lock()
	old := l.now
	l.now = next
	l.mu.Unlock()
	if old != nil {
		l.ending.Go(old.end)
	}
}

// end closes what is left when nobody asks any more.
func (l *live) end() {
	if g := l.current(); g != nil {
		g.end()
	}
	l.ending.Wait()
}

// generation is what answers requests by one configuration.
type generation struct {
	gate    *gate.Gate
	proxies guard
	metrics bool
	users   sync.WaitGroup

	forward  forwarder    // nil: no service behind a proxy
	overTCP  http.Handler // introspection; nil: none
	overUnix http.Handler
}

func (g *generation) release() { g.users.Done() }

func (g *generation) end() {
	g.users.Wait()
	g.gate.Close()
}

// build makes what answers requests out of settings. It changes nothing that runs.
func (d *daemon) build(s *settings) (*generation, error) {
	o := gate.Options{HTTP: d.hc, Keys: d.keys, Observe: d.observe, Now: d.env.Now, Log: d.log}
	if old := d.live.current(); old != nil {
		o.Cache = old.gate.Cache()
	} else {
		o.Cache = verify.NewCache(s.limits.cache)
	}
	o.DPoP = d.proofs
	g, err := gate.New(s.gate, o)
	if err != nil {
		return nil, err
	}
	next := &generation{gate: g, proxies: newGuard(s.proxies), metrics: !s.metrics.off && s.metrics.listen == ""}
	if err := next.mount(d, s); err != nil {
		g.Close()
		return nil, err
	}
	return next, nil
}

// forwarder answers proxies. *forward.Handler is one.
type forwarder interface {
	http.Handler
	Serves(*http.Request) bool
}

// mount makes the handlers of a generation.
func (g *generation) mount(d *daemon, s *settings) error {
	if len(s.services) > 0 {
		h, err := forward.New(forward.Options{
			Gate: g.gate, Services: s.services, ProofAlgs: jose.Algs(), MaxToken: s.gate.MaxToken,
		})
		if err != nil {
			return err
		}
		g.forward = h
	}
	o := introspection.Options{Clients: s.introspection, Now: d.env.Now, Log: d.log}
	var err error
	if len(s.introspection) > 0 {
		if g.overTCP, err = introspection.New(g.gate, o); err != nil {
			return err
		}
		g.overUnix = g.overTCP
	}
	if s.socketOpen {
		o.Open, o.Service = true, s.socketService
		g.overUnix, err = introspection.New(g.gate, o)
	}
	return err
}
