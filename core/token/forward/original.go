package forward

import (
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Proxy is a make of reverse proxy: where it writes what the client asked for, and which answers it passes on.
type Proxy string

// The makes we speak to.
const (
	Nginx   Proxy = "nginx"   // auth_request: 401, 403 and 500 are all it knows beside yes
	Traefik Proxy = "traefik" // ForwardAuth
	Caddy   Proxy = "caddy"   // forward_auth
	Envoy   Proxy = "envoy"   // ext_authz over HTTP: asks with the client's own method, host and path
)

// Proxies returns all of them.
func Proxies() []Proxy { return []Proxy{Nginx, Traefik, Caddy, Envoy} }

const prefix = "/forward/"

// Address is the path a proxy of this make is configured to ask at. For Envoy it is the path_prefix.
func (p Proxy) Address() string { return prefix + string(p) }

// original is what the client asked for, as its proxy says.
type original struct {
	method string
	host   string // as sent, with port
	name   string // of the host: lower case, no port
	path   string // raw, without query
	query  string
	parsed claims.Path
}

// sourceHeaders are where a make writes method, host and URI; nil for Envoy, which repeats the request itself.
func (p Proxy) sourceHeaders() (method, host, uri string) {
	switch p {
	case Nginx:
		return "X-Original-Method", "X-Original-Host", "X-Original-Uri"
	case Traefik, Caddy:
		return "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"
	}
	return "", "", ""
}

// route returns the make of proxy that asks at a request target and, for Envoy, the target the client asked for. The
// target is looked at as it was sent: a server that cleans paths would let a client choose.
func route(target string) (p Proxy, rest string, ok bool) {
	name, found := strings.CutPrefix(target, prefix)
	if !found {
		return "", "", false
	}
	if rest, found := strings.CutPrefix(name, string(Envoy)); found {
		return Envoy, rest, strings.HasPrefix(rest, "/")
	}
	name, _, _ = strings.Cut(name, "?")
	switch p := Proxy(name); p {
	case Nginx, Traefik, Caddy:
		return p, "", true
	}
	return "", "", false
}

// readOriginal reads the client's request out of that of the proxy.
func readOriginal(p Proxy, rest string, r *http.Request) (original, error) {
	o := original{method: r.Method, host: r.Host}
	target := rest
	if p != Envoy {
		methodIn, hostIn, uriIn := p.sourceHeaders()
		for _, in := range []struct {
			name string
			to   *string
		}{{methodIn, &o.method}, {hostIn, &o.host}, {uriIn, &target}} {
			values := r.Header[in.name]
			if len(values) != 1 {
				return original{}, badRequest("the proxy has to send " + in.name + " exactly once")
			}
			*in.to = values[0]
		}
	}
	if !validMethod(o.method) {
		return original{}, badRequest("the method is none")
	}
	var ok bool
	if o.name, ok = hostName(o.host); !ok {
		return original{}, badRequest("the host is none")
	}
	o.path, o.query, _ = strings.Cut(target, "?")
	return o, nil
}
