package provisioner

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// generation is what answers requests by one configuration.
type generation struct {
	daemon.Users

	gate    *gate.Gate
	desk    *provision.Desk
	book    *otp.Book
	api     *httpapi.API
	handler http.Handler
	users   map[string]*policy.Policy // by issuer
	office  *approval.Office          // nil: nobody is told of requests

	hostKeys *hostKeys
	claims   provision.ClaimRules
	names    names.External // nil: names are made here

	stop    context.CancelFunc // of what runs beside requests; nil: nothing does
	running sync.WaitGroup
}

// start begins what runs beside requests. A generation that has taken over is started once.
func (g *generation) start() {
	if g.office == nil {
		return
	}
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	g.running.Go(func() { g.office.Run(ctx) })
}

// End is part of daemon.Generation.
func (g *generation) End() {
	g.Wait()
	if g.stop != nil {
		g.stop()
		g.running.Wait()
	}
	g.gate.Close()
	if directory, ok := g.names.(interface{ Close() }); ok {
		directory.Close()
	}
}

// notify tells the office of a request, where there is one.
func (g *generation) notify(e provision.Event) {
	if g.office != nil {
		g.office.Notify(e)
	}
}

// build makes what answers requests out of settings. It changes nothing that runs.
func (d *server) build(s *settings) (*generation, error) {
	o := gate.Options{HTTP: d.hc, Keys: d.keys, Now: d.env.Now, Log: d.log}
	if old := d.live.Current(); old != nil {
		o.Cache, o.DPoP = old.gate.Cache(), old.gate.DPoP()
	} else {
		o.Cache = verify.NewCache(0)
	}
	judge, err := gate.New(s.gateConfig(), o)
	if err != nil {
		return nil, err
	}
	g := &generation{
		gate: judge, users: map[string]*policy.Policy{}, claims: s.claims,
		hostKeys: &hostKeys{patterns: s.hostKeys, now: d.env.Now},
	}
	if err := d.mount(s, g); err != nil {
		judge.Close()
		return nil, err
	}
	return g, nil
}

// mount puts desk, passwords, interface and pages of a generation together.
func (d *server) mount(s *settings, g *generation) error {
	if err := d.mountDesk(s, g); err != nil {
		return err
	}
	o := httpapi.Options{
		Gate: g.gate, Desk: g.desk, Book: g.book, Claims: s.claims, Login: s.info, HostKeys: g.hostKeys.lines, NoGet: s.api.noGet,
		Version: s.api.version, Release: d.env.Version, Docs: s.api.docs, Contact: s.api.mail, Officer: g.desk, Limiter: d.limiter,
		Work: d.again, Proxies: s.proxies, Audit: d.recordRequest, Seen: d.numbers.answered, Now: d.env.Now, Log: d.log,
	}
	for _, i := range s.issuers {
		o.Issuers = append(o.Issuers, i.told)
		g.users[i.URL] = i.told.Users
	}
	if s.api.privacy != "" {
		o.Privacy = func() ([]byte, error) { return config.ReadFile(s.api.privacy, config.MaxSize) }
	}
	var err error
	if g.api, err = httpapi.New(o); err != nil {
		return err
	}
	return d.mountPages(s, g)
}

// mountDesk makes what decides about accounts, and what tells administrators.
func (d *server) mountDesk(s *settings, g *generation) error {
	passwords := s.passwords
	passwords.Now = d.env.Now
	g.book = otp.New(d.state.Engine(), passwords)
	rules := s.rules
	var err error
	if g.names, err = s.source.open(); err != nil {
		return err
	}
	rules.Naming.External = g.names
	g.desk, err = provision.New(provision.Options{
		Store: d.state.Engine(), System: d.system, Rules: rules, OTP: g.book, Notify: g.notify, Audit: d.recordAccount,
		LoginInfo: s.info, Now: d.env.Now, Log: d.log,
	})
	if err != nil {
		return err
	}
	g.office, err = d.openOffice(s, g)
	return err
}

// known reports whether an address is that of a proxy or a login node of ours.
func (s *settings) known(a netip.Addr) bool {
	has := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(s.proxies.Prefixes, has) || slices.ContainsFunc(s.rates.Exempt, has)
}
