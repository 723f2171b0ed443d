package listen

import (
	"net/netip"

	"github.com/oidcbox/oidcbox/core/config"
)

// Networks reads addresses and networks, and whether word is among them, which stands for something that has no address;
// "" for none.
func Networks(r *config.Reader, a config.At, word string) (list []netip.Prefix, named bool) {
	for _, s := range r.Texts(a) {
		if s == word && word != "" {
			named = true
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, ipErr := netip.ParseAddr(s)
			if ipErr != nil {
				r.Fault(a, "%q is no address and no network (10.0.0.0/8)", s)
				continue
			}
			p = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, named
}
