package verifier

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/forward"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

func serviceKeys() []string {
	return []string{
		"audiences", "proxy", "hosts", "paths", "operations", "put_creates", "methods", "method_override", "preflight",
		"realm", "headers", "certificate_header", "unavailable_as", "resource", "authorization_servers", "scopes",
	}
}

func (r settingsReader) services(a config.At) {
	r.s.gate.Services = map[string]gate.Service{}
	if !a.Present() {
		return
	}
	for _, p := range r.Pairs(a) {
		f := r.Fields(p.At, serviceKeys()...)
		r.s.gate.Services[p.Name] = gate.Service{Audiences: r.audiences(f["audiences"])}
		if f["proxy"].Present() {
			r.s.services = append(r.s.services, r.forward(p, f))
			continue
		}
		for name, v := range f {
			if name != "audiences" {
				r.Fault(v, "is for a service behind a proxy: say which (proxy: nginx)")
			}
		}
	}
}

// forward reads a service behind a proxy. That its values fit together is judged by the package it is for.
func (r settingsReader) forward(p config.Pair, f config.Fields) forward.Service {
	s := forward.Service{
		Name:                 p.Name,
		Proxy:                forward.Proxy(r.OneOf(f["proxy"], "", words(forward.Proxies())...)),
		Hosts:                r.Texts(f["hosts"]),
		Paths:                r.Texts(f["paths"]),
		Operations:           forward.Operations(r.OneOf(f["operations"], "", "none", "storage")),
		PutCreates:           r.Bool(f["put_creates"], false),
		MethodOverride:       r.Bool(f["method_override"], false),
		Preflight:            r.Bool(f["preflight"], false),
		AuthorizationServers: r.authorizationServers(f),
		Scopes:               r.Texts(f["scopes"]),
	}
	for _, host := range s.Hosts {
		if !forward.ValidHost(host) {
			r.Fault(f["hosts"], "%q is no host name without port", host)
		}
	}
	s.Realm, _ = r.Text(f["realm"])
	s.CertificateHeader, _ = r.Text(f["certificate_header"])
	s.Resource, _ = r.URL(f["resource"])
	s.UnavailableAs = r.Int(f["unavailable_as"], 0, 401, 500)
	if a := f["methods"]; a.Present() {
		s.Methods = map[string]string{}
		for _, m := range r.Pairs(a) {
			s.Methods[m.Name], _ = r.Text(m.At)
		}
	}
	if a := f["headers"]; a.Present() {
		s.Headers = []forward.Header{}
		for _, h := range r.Pairs(a) {
			claim, _ := r.Text(h.At)
			s.Headers = append(s.Headers, forward.Header{Name: h.Name, Claim: claim})
		}
	}
	return s
}

// authorizationServers are told to clients of a service that has metadata: who wants them known says so with resource.
func (r settingsReader) authorizationServers(f config.Fields) []string {
	a := f["authorization_servers"]
	switch {
	case a.Raw() == "none":
		return nil
	case a.Present():
		return r.Texts(a)
	case !f["resource"].Present():
		return nil
	}
	var list []string
	for _, iss := range r.s.gate.Issuers {
		list = append(list, iss.URL)
	}
	return list
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// serviceNames says where the names of the configuration and those of the policy differ: what is in one of them only is
// refused to everybody, or is for nobody.
func (r settingsReader) serviceNames(top config.At) {
	p := r.s.gate.Policy
	if p == nil || len(p.Services()) == 0 {
		return
	}
	ours := r.s.serviceNames()
	for _, name := range ours {
		if !slices.Contains(p.Services(), name) {
			r.Note(top, "the policy has nothing for service %q: everybody is refused there", name)
		}
	}
	for _, name := range p.Services() {
		if !slices.Contains(ours, name) {
			r.Note(top, "the policy has a service %q that is not in services", name)
		}
	}
}

func (s *settings) serviceNames() []string { return slices.Sorted(maps.Keys(s.gate.Services)) }

// reachable demands that what others can reach knows its proxies.
func (r settingsReader) reachable(a config.At, p listen.Place) {
	if !p.Reachable() {
		return
	}
	if !r.s.proxies.guarded() {
		r.Fault(a, "others can reach it, and whoever asks is believed about the request it asks for: name your proxies "+
			"(proxies: {trusted: [ADDRESS]}) or give them a secret (proxies: {secret_file: FILE}), or listen on 127.0.0.1 "+
			"or a Unix socket")
	}
	if p.Cert == "" {
		r.Note(a, "tokens come over the network in the clear: add tls, or put it behind something that has it")
	}
}

func (r settingsReader) proxies(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, proxyKeys()...)
	for _, s := range r.Texts(f["trusted"]) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, ipErr := netip.ParseAddr(s)
			if ipErr != nil {
				r.Fault(f["trusted"], "%q is no address and no network (10.0.0.0/8)", s)
				continue
			}
			p = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		}
		r.s.proxies.trusted = append(r.s.proxies.trusted, p)
	}
	r.s.proxies.header = r.TextOr(f["secret_header"], "X-Verifier-Secret")
	if f["secret_file"].Present() {
		r.s.proxies.secret, _ = r.SecretFile(f["secret_file"])
		if n := r.s.proxies.secret.Len(); n > 0 && n < minProxySecret {
			r.Fault(f["secret_file"], "the secret has less than %d bytes", minProxySecret)
		}
	} else if f["secret_header"].Present() {
		r.Fault(f["secret_header"], "is for secret_file, which is missing")
	}
}

// minProxySecret keeps guessing hopeless.
const minProxySecret = 16
