package rules

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// origin is where a use comes from. What is looked up is looked up once.
type origin struct {
	addr    netip.Addr
	world   World
	names   []string
	named   bool
	country string
	placed  bool
}

func (o *origin) hostFault(ctx context.Context, r mytoken.Restriction) string {
	if len(r.Hosts) == 0 {
		return ""
	}
	hosts := parseHosts(r.Hosts)
	byName := func(h host) bool { return h.name != "" }
	for _, h := range hosts {
		if !byName(h) && h.holds(o.addr, nil) {
			return ""
		}
	}
	if slices.ContainsFunc(hosts, byName) {
		names := o.namesOf(ctx)
		if slices.ContainsFunc(hosts, func(h host) bool { return byName(h) && h.holds(o.addr, names) }) {
			return ""
		}
	}
	return "not from " + o.addr.String()
}

func (o *origin) namesOf(ctx context.Context) []string {
	if !o.named && o.world.Names != nil && o.addr.IsValid() {
		for _, n := range o.world.Names(ctx, o.addr) {
			o.names = append(o.names, plainName(n))
		}
	}
	o.named = true
	return o.names
}

func plainName(n string) string { return strings.ToLower(strings.TrimSuffix(n, ".")) }

// countryFault wants a country that is known wherever a clause asks for one: an address that nobody can place is
// neither in the countries allowed nor outside those forbidden.
func (o *origin) countryFault(r mytoken.Restriction) string {
	if len(r.GeoIPAllow) == 0 && len(r.GeoIPDisallow) == 0 {
		return ""
	}
	c := o.countryOf()
	is := func(code string) bool { return strings.EqualFold(code, c) }
	switch {
	case c == "":
		return "the country of " + o.addr.String() + " is not known"
	case len(r.GeoIPAllow) > 0 && !slices.ContainsFunc(r.GeoIPAllow, is), slices.ContainsFunc(r.GeoIPDisallow, is):
		return "not from country " + quote(c)
	}
	return ""
}

func (o *origin) countryOf() string {
	if o.placed {
		return o.country
	}
	o.placed = true
	switch a := o.addr; {
	case !a.IsValid():
	case a.IsPrivate(), a.IsLoopback(), a.IsLinkLocalUnicast():
		o.country = o.world.Home
	case o.world.Country != nil:
		o.country = o.world.Country(a)
	}
	return o.country
}

// Resolver is the part of net.Resolver that finds the names of an address.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// maxNames is how many names of an address are looked at.
const maxNames = 8

// Confirmed returns a function that finds the names of an address that lead back to it. What an address is called is
// said by whoever has the address; what a name stands for, by the owner of the name.
func Confirmed(r Resolver) func(context.Context, netip.Addr) []string {
	return func(ctx context.Context, a netip.Addr) []string {
		a = plainAddr(a)
		names, err := r.LookupAddr(ctx, a.String())
		if err != nil && len(names) == 0 {
			return nil
		}
		var out []string
		for _, n := range names[:min(len(names), maxNames)] {
			back, err := r.LookupNetIP(ctx, "ip", n)
			same := func(b netip.Addr) bool { return plainAddr(b) == a }
			if err == nil && hostName(plainName(n)) && slices.ContainsFunc(back, same) {
				out = append(out, plainName(n))
			}
		}
		return out
	}
}
