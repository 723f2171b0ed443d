package verifier

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/token/forward"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/introspection"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// generation is what answers requests by one configuration.
type generation struct {
	daemon.Users

	gate    *gate.Gate
	proxies guard
	metrics bool

	forward  forwarder    // nil: no service behind a proxy
	overTCP  http.Handler // introspection; nil: none
	overUnix http.Handler
}

// End is part of daemon.Generation.
func (g *generation) End() {
	g.Wait()
	g.gate.Close()
}

// build makes what answers requests out of settings. It changes nothing that runs.
func (d *server) build(s *settings) (*generation, error) {
	o := gate.Options{HTTP: d.hc, Keys: d.keys, Observe: d.observe, Now: d.env.Now, Log: d.log}
	if old := d.live.Current(); old != nil {
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
func (g *generation) mount(d *server, s *settings) error {
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
