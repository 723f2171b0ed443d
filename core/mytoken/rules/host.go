package rules

import (
	"net/netip"
	"strings"
)

// This is the host of a clause that stands for the address a request for a mytoken comes from.
const This = "this"

// maxHost is the longest name of a host (RFC 1035 section 2.3.4, without the dot at its end).
const maxHost = 253

// host is one entry of hosts: a network (of one address, where it is an address), a name, or the names below one.
type host struct {
	network netip.Prefix
	name    string
	below   bool
}

// parseHost reads an entry. An address with a length of network counts as a network when it is that of the network;
// "10.1.2.3/8" is the one address.
func parseHost(s string) (host, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return oneAddress(a)
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return network(p)
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	rest, below := strings.CutPrefix(name, "*.")
	return host{name: rest, below: below}, hostName(rest) && name != This
}

func oneAddress(a netip.Addr) (host, bool) {
	a = plainAddr(a)
	return host{network: netip.PrefixFrom(a, a.BitLen())}, a.IsValid()
}

// plainAddr is a without what does not belong to its identity: the form of IPv4 inside IPv6, and a zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func network(p netip.Prefix) (host, bool) {
	if p.Addr() != p.Masked().Addr() {
		return oneAddress(p.Addr())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return host{network: p}, true
}

// hostName reports whether s is one or more labels of letters, digits, hyphens and underscores, and no address: what
// the DNS would not say is never compared with what it says.
func hostName(s string) bool {
	if len(s) > maxHost {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' }
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, odd) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func (h host) String() string {
	switch {
	case h.below:
		return "*." + h.name
	case h.name != "":
		return h.name
	case h.network.IsSingleIP():
		return h.network.Addr().String()
	}
	return h.network.String()
}

// holds reports whether a request from address a, whose names are names, comes from there.
func (h host) holds(a netip.Addr, names []string) bool {
	if h.name == "" {
		return h.network.Contains(a)
	}
	for _, n := range names {
		if h.holdsName(n) {
			return true
		}
	}
	return false
}

func (h host) holdsName(n string) bool {
	return n == h.name && !h.below || h.below && strings.HasSuffix(n, "."+h.name)
}

// contains reports whether every request that comes from o comes from h.
func (h host) contains(o host) bool {
	switch {
	case h.name == "" && o.name == "":
		return h.network.Bits() <= o.network.Bits() && h.network.Contains(o.network.Addr())
	case h.name == "" || o.name == "":
		return false
	case o.below:
		return h.below && (o.name == h.name || strings.HasSuffix(o.name, "."+h.name))
	}
	return h.holdsName(o.name)
}

// parseHosts reads entries that were settled before; what is none is left out, and holds nobody.
func parseHosts(entries []string) []host {
	out := make([]host, 0, len(entries))
	for _, e := range entries {
		if h, ok := parseHost(e); ok {
			out = append(out, h)
		}
	}
	return out
}
