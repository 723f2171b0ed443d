package httpc

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// proxy finds the proxy for a request as curl and the Go library do, but from a handed-in environment.
type proxy struct {
	https, http string
	exceptions  []string
}

func newProxy(getenv func(string) string) *proxy {
	p := &proxy{https: cmp.Or(getenv("HTTPS_PROXY"), getenv("https_proxy"))}
	// In a CGI program HTTP_PROXY comes from a request header ("httpoxy"), so only the lower-case name counts there.
	p.http = getenv("http_proxy")
	if getenv("REQUEST_METHOD") == "" {
		p.http = cmp.Or(getenv("HTTP_PROXY"), p.http)
	}
	for e := range strings.SplitSeq(cmp.Or(getenv("NO_PROXY"), getenv("no_proxy")), ",") {
		if e = strings.ToLower(strings.TrimSpace(e)); e != "" {
			p.exceptions = append(p.exceptions, e)
		}
	}
	return p
}

// find is the Proxy function of an http.Transport. This machine is never reached through a proxy.
func (p *proxy) find(req *http.Request) (*url.URL, error) {
	via := p.https
	if req.URL.Scheme == "http" {
		via = p.http
	}
	if via == "" || loopback(req.URL) || p.excepted(req.URL) {
		return nil, nil
	}
	u, err := url.Parse(via)
	if err != nil || u.Host == "" || !proxyScheme(u.Scheme) {
		u, err = url.Parse("http://" + via) // "proxy.example:3128" without a scheme is usual
	}
	if err != nil || u.Host == "" {
		// Not the value: it may hold a password.
		return nil, fmt.Errorf("the proxy in the environment for %s is not a URL", req.URL.Scheme)
	}
	return u, nil
}

func proxyScheme(s string) bool {
	switch s {
	case "http", "https", "socks5", "socks5h":
		return true
	}
	return false
}

func (p *proxy) excepted(u *url.URL) bool {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	port := cmp.Or(u.Port(), defaultPort(u.Scheme))
	for _, e := range p.exceptions {
		if e == "*" || matches(e, host, port) {
			return true
		}
	}
	return false
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// matches judges one entry of NO_PROXY: an address, a network, a name with everything below it (".example.org" and
// "*.example.org" mean only what is below), each with an optional port except the network.
func matches(entry, host, port string) bool {
	addr, addrErr := netip.ParseAddr(host)
	if network, err := netip.ParsePrefix(entry); err == nil {
		return addrErr == nil && network.Contains(addr.Unmap())
	}
	if h, p, err := net.SplitHostPort(entry); err == nil {
		if p != port {
			return false
		}
		entry = h
	}
	entry = strings.Trim(entry, "[]")
	if ip, err := netip.ParseAddr(entry); err == nil {
		return addrErr == nil && ip.Unmap() == addr.Unmap()
	}
	entry = strings.TrimPrefix(entry, "*")
	if strings.HasPrefix(entry, ".") {
		return strings.HasSuffix(host, entry)
	}
	return host == entry || strings.HasSuffix(host, "."+entry)
}
