package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many addresses of a forwarding header are looked at.
const maxHops = 32

// Proxies are believed about whose request it is. Unix says that whoever comes over a Unix socket is one.
type Proxies struct {
	Prefixes []netip.Prefix
	Unix     bool
}

// Client is where a request comes from: the peer, or what proxies that are believed say whom they had it from. It is
// the zero address when nobody says.
func (p Proxies) Client(r *http.Request) netip.Addr {
	client, ok := address(r.RemoteAddr)
	if ok && !p.believes(client) || !ok && !p.Unix {
		return client
	}
	forwarded := r.Header["X-Forwarded-For"]
	if len(forwarded) == 0 {
		return client
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	slices.Reverse(hops)
	for _, hop := range hops[:min(len(hops), maxHops)] {
		a, ok := address(strings.TrimSpace(hop))
		if !ok {
			break // what stands further left was said by nobody we know
		}
		client = a
		if !p.believes(a) {
			break
		}
	}
	return client
}

func (p Proxies) believes(a netip.Addr) bool {
	return slices.ContainsFunc(p.Prefixes, func(of netip.Prefix) bool { return of.Contains(a) })
}

// address reads an address with or without a port.
func address(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}
