package mytokenserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/geo"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// generation is what answers requests by one configuration.
type generation struct {
	daemon.Users

	providers *upstream.Registry
	guest     *upstream.Guest // nil: there is none
	desk      *desk.Desk
	keys      *desk.SSHKeys // nil: there is no ssh server
	handler   http.Handler
}

// End is part of daemon.Generation.
func (g *generation) End() {
	g.Wait()
	g.providers.Close()
}

// build makes what answers requests out of settings. It changes nothing that runs.
func (d *server) build(s *settings) (*generation, error) {
	guest, err := d.guest(s)
	if err != nil {
		return nil, err
	}
	var before *upstream.Registry
	if g := d.live.Current(); g != nil {
		before = g.providers
	}
	r, err := upstream.New(s.providers, upstream.Options{
		Now: d.env.Now, Log: d.log, Guest: guest, Before: before,
		HTTP: httpc.Options{CAFile: s.caFile, UserAgent: "oidcbox-mytoken-server", Getenv: d.env.Getenv},
	})
	if err != nil {
		return nil, err
	}
	g := &generation{providers: r, guest: guest}
	if err := d.mount(s, g); err != nil {
		r.Close()
		return nil, err
	}
	return g, nil
}

// mount puts desk, pages and interfaces of a generation together.
func (d *server) mount(s *settings, g *generation) error {
	if err := d.keepProofs(); err != nil {
		return err
	}
	gate := httpapi.NewGate(s.rates.limits(), d.env.Now)
	templates := desk.NewTemplates(d.ledger, d.env.Now, d.log)
	var notify func(context.Context, desk.Notice) // nil without mail: then the desk need not look for what is new
	if d.notices.Mails() {
		notify = d.notices.Notice
	}
	var err error
	g.desk, err = desk.New(desk.Options{
		Issuer: s.issuer, Ledger: d.ledger, Minter: d.signer, Upstream: g.providers, World: d.world(s), Features: s.deskFeatures(),
		Templates: templates.Lookup, Limits: s.limits, DPoP: d.proofs, Allow: gate.Person, Notify: notify,
		Audit: d.record, Now: d.env.Now, Log: d.log,
	})
	if err != nil {
		return err
	}
	routes := d.notices.Routes()
	if s.ssh.listen != "" {
		g.keys = g.desk.SSHKeys(s.ssh.host, s.ssh.port)
		routes = append(routes, httpapi.SSHRoutes(g.keys)...)
	}
	web, err := d.openPages(s, g, gate)
	if err != nil {
		return err
	}
	o := httpapi.Options{
		Issuer: s.issuer, Desk: g.desk, Templates: templates, Keys: d.signer.Keys, Alg: d.signer.alg(), Features: s.apiFeatures(),
		SSHKeys: d.fingerprints(), Documentation: s.operator.documentation, Version: d.env.Version, Groups: s.groups,
		Clients: s.askers, Proxies: s.proxies, UnixProxy: s.unixPeer, Gate: gate, CookieLife: s.pages.session, Mount: routes,
		About: d.notices.About, DPoP: true, Seen: d.numbers.answered, Now: d.env.Now, Log: d.log,
	}
	if web != nil {
		o.Pages, o.ErrorPage = web.Handler(), web.ShowError
	}
	api, err := httpapi.New(o)
	if err != nil {
		return err
	}
	g.handler = api.Handler()
	return nil
}

// keepProofs makes what remembers the proofs of possession that were used. All generations have the same: a proof that was
// seen before a reload must not be good once more after it.
func (d *server) keepProofs() (err error) {
	if d.proofs != nil {
		return nil
	}
	if d.proofs, err = dpop.New(dpop.Options{Now: d.env.Now}); err != nil {
		return fmt.Errorf("proofs of possession: %w", err)
	}
	return nil
}

// deskFeatures are those of the configuration. The pages of this server skip the consent page: who is there has just said
// what they want.
func (s *settings) deskFeatures() desk.Features {
	f := s.features
	trusted := f.Trusted
	f.Trusted = func(uri string) bool {
		path, ours := strings.CutPrefix(uri, s.issuer)
		return ours && (path == "/home" || path == "/settings" || path == "/create") || trusted != nil && trusted(uri)
	}
	return f
}

// supported are the keys of clauses that are looked at.
func (s *settings) supported() []string {
	return slices.DeleteFunc(rules.Keys(), func(k string) bool { return slices.Contains(s.features.Unsupported, k) })
}

// fingerprints name the host keys of the ssh server.
func (d *server) fingerprints() []httpapi.HostKey {
	var list []httpapi.HostKey
	for _, k := range sshapi.HostKeysOf(d.hostKeys) {
		list = append(list, httpapi.HostKey{Type: k.Type, Fingerprint: k.Fingerprint})
	}
	return list
}

// apiFeatures is what the interface tells of.
func (s *settings) apiFeatures() httpapi.Features {
	return httpapi.Features{
		Features: s.deskFeatures(), Introspect: s.info.introspect, History: s.info.history, Tree: s.info.tree, List: s.info.list,
		Revocation: s.info.revocation, Templates: true, Notifications: true, SSH: s.ssh.listen != "",
		NoExchange: !s.info.tokenExchange,
	}
}

func (r rates) limits() httpapi.Limits {
	return httpapi.Limits{
		Address: httpapi.Rate{Requests: r.address.requests, Per: r.address.window},
		Mytoken: httpapi.Rate{Requests: r.token.requests, Per: r.token.window},
		Person:  httpapi.Rate{Requests: r.user.requests, Per: r.user.window},
	}
}

// nameWait bounds what asking for the name of an address may take.
const nameWait = 3 * time.Second

// world is what restrictions know of addresses.
func (d *server) world(s *settings) rules.World {
	w := rules.World{Home: s.world.home}
	if s.world.names {
		names := rules.Confirmed(net.DefaultResolver)
		w.Names = func(ctx context.Context, a netip.Addr) []string {
			ctx, cancel := context.WithTimeout(ctx, nameWait)
			defer cancel()
			return names(ctx, a)
		}
	}
	if s.world.geo != "" {
		if d.geo == nil || d.geoFile != s.world.geo { // what was read stays where the file is the same
			d.geo, d.geoFile = geo.New(s.world.geo, geo.Options{Now: d.env.Now, Log: d.log}), s.world.geo
		}
		w.Country = d.geo.Country
	}
	return w
}

// guest makes the provider without people, where it is switched on.
func (d *server) guest(s *settings) (*upstream.Guest, error) {
	if !s.guests {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	key, err := ownSecret(context.Background(), d.state.Engine(), "guests")
	if err != nil {
		return nil, err
	}
	return &upstream.Guest{
		Issuer: s.issuer + upstream.GuestPath, RedirectURI: s.issuer + redirectPath, Key: key, Now: d.env.Now,
	}, nil
}

// redirectPath is where providers send browsers back to.
const redirectPath = "/redirect"
