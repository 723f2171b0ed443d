package httpc

import (
	"context"
	"net"
	"net/url"
	"strings"
)

// loopback reports whether a URL means this machine: localhost and names below it (RFC 6761 6.3), 127/8, ::1.
func loopback(u *url.URL) bool {
	host := plainHost(u.Hostname())
	ip := net.ParseIP(host)
	return localName(host) || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

func plainHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func localName(host string) bool { return host == "localhost" || strings.HasSuffix(host, ".localhost") }

// dialer connects to names of this machine on its loopback interface. It asks no name server about them: whoever
// answers could have plain http sent elsewhere. It also works where there is no /etc/hosts.
type dialer struct{ net.Dialer }

func (d dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	switch host = plainHost(host); {
	case net.ParseIP(host) != nil: // with a dot behind it would be a name
		return d.DialContext(ctx, network, net.JoinHostPort(host, port))
	case !localName(host):
		return d.DialContext(ctx, network, addr)
	}
	c, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return c, nil
	}
	if c, second := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); second == nil {
		return c, nil
	}
	return nil, err
}
