package forward

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Operations says how the method of a request becomes the operation the policy is asked about.
type Operations string

// The mappings.
const (
	NoOperations Operations = "none"    // the default: the policy sees method and path only
	Storage      Operations = "storage" // storage.read, .create, .modify of the WLCG profile, by HTTP and WebDAV method
)

// Service is one protected service.
type Service struct {
	Name  string // what the policy and the audiences know it by
	Proxy Proxy
	// Hosts are its names, without port. None: whatever the host; then no service behind the same make of proxy has any.
	Hosts []string
	// Paths are the directories it serves; none: "/". Of several services the one with the longest path that fits counts.
	Paths []string

	Operations Operations
	// PutCreates says that the service behind never overwrites, so that storage.create is enough to PUT and COPY.
	PutCreates bool
	// Methods are operations of further methods, or of known ones in place of ours: {"POST": "storage.stage"}.
	Methods map[string]string
	// MethodOverride lets requests with X-HTTP-Method-Override and its like through. Without it they are refused: a
	// service behind that obeys such a header does something else than was judged.
	MethodOverride bool
	// Preflight answers yes to a CORS preflight without token.
	Preflight bool

	Realm string // of the challenge; "": Name
	// Headers are the identity headers; nil: DefaultHeaders.
	Headers []Header
	// CertificateHeader names the header in which the proxy hands over the client's TLS certificate (RFC 8705); "":
	// none. The proxy has to set or delete it in every request.
	CertificateHeader string
	// UnavailableAs is what nginx is told in place of 503, which it does not know: 500 (the default) or 401.
	UnavailableAs int

	// Resource is its https URL; with it there are metadata (RFC 9728) and challenges point to them. It is also the
	// scheme and host that DPoP proofs are for; without it these are https and the host of the request.
	Resource string
	// AuthorizationServers and Scopes are for the metadata.
	AuthorizationServers, Scopes []string
}

// ErrConfig: no handler can be made of this configuration.
var ErrConfig = errors.New("forward-auth is not configured")

// service is a Service in the form requests are judged with.
type service struct {
	Service
	paths    []servicePath
	headers  []header
	metadata *metadata // nil: none
}

type servicePath struct {
	path  claims.Path
	depth int
}

func newService(s Service, algs []jose.Alg) (*service, error) {
	out := &service{Service: s}
	faults := []error{out.checkFields()}
	for _, p := range orDefault(s.Paths, "/") {
		path, err := claims.ParsePath(p)
		if err != nil {
			faults = append(faults, fmt.Errorf("path %q: %w", p, err))
			continue
		}
		out.paths = append(out.paths, servicePath{path, depth(path)})
	}
	var err error
	if out.headers, err = newHeaders(s.Headers); err != nil {
		faults = append(faults, err)
	}
	if s.Resource != "" {
		if out.metadata, err = newMetadata(s, algs); err != nil {
			faults = append(faults, err)
		}
	}
	if out.Realm == "" {
		out.Realm = s.Name
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("service %q: %w", s.Name, err)
	}
	return out, nil
}

func (s *service) checkFields() error {
	var faults []error
	if s.Name == "" {
		faults = append(faults, errors.New("it has no name"))
	}
	if !slices.Contains(Proxies(), s.Proxy) {
		faults = append(faults, fmt.Errorf("there is no proxy %q, only %v", s.Proxy, Proxies()))
	}
	switch s.Operations {
	case "":
		s.Operations = NoOperations
	case NoOperations, Storage:
	default:
		faults = append(faults, fmt.Errorf("there are no operations %q", s.Operations))
	}
	switch s.UnavailableAs {
	case 0:
		s.UnavailableAs = http.StatusInternalServerError
	case http.StatusInternalServerError, http.StatusUnauthorized:
	default:
		faults = append(faults, fmt.Errorf("nginx does not pass on status %d: 500 or 401", s.UnavailableAs))
	}
	for i, host := range s.Hosts {
		name, _ := hostName(host)
		if !ValidHost(host) {
			faults = append(faults, fmt.Errorf("%q is no host name without port", host))
		}
		s.Hosts = slices.Clone(s.Hosts)
		s.Hosts[i] = name
	}
	for method, operation := range s.Methods {
		if !validMethod(method) || operation == "" {
			faults = append(faults, fmt.Errorf("method %q: %q is no operation for it", method, operation))
		}
	}
	if s.CertificateHeader != "" && !validHeaderName(s.CertificateHeader) {
		faults = append(faults, fmt.Errorf("%q is no name of a header", s.CertificateHeader))
	}
	return errors.Join(faults...)
}

// ValidHost reports whether s can stand in Hosts: a host name or an address, without a port.
func ValidHost(s string) bool {
	name, ok := hostName(s)
	return ok && name == strings.ToLower(s)
}

// table finds services.
type table struct{ services []*service }

func newTable(list []Service, algs []jose.Alg) (table, error) {
	t := table{}
	faults := []error{}
	for _, s := range list {
		built, err := newService(s, algs)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, t.clashes(built))
		t.services = append(t.services, built)
	}
	if len(list) == 0 {
		faults = append(faults, errors.New("there is no service"))
	}
	return t, errors.Join(faults...)
}

// clashes refuses what would leave open which service a request is for.
func (t table) clashes(s *service) error {
	for _, other := range t.services {
		switch {
		case other.Name == s.Name:
			return fmt.Errorf("there are two services %q", s.Name)
		case other.Proxy != s.Proxy:
			continue
		case (len(other.Hosts) == 0) != (len(s.Hosts) == 0):
			return fmt.Errorf("services %q and %q: one has hosts and one has none; a client could choose between them with "+
				"a made-up host", other.Name, s.Name)
		case len(s.Hosts) > 0 && !slices.ContainsFunc(s.Hosts, other.hasHost):
			continue
		}
		for _, p := range s.paths {
			if slices.ContainsFunc(other.paths, func(o servicePath) bool {
				return o.depth == p.depth && below(p.path,
					o.path)
			}) {
				return fmt.Errorf("services %q and %q both serve %s", other.Name, s.Name, p.path)
			}
		}
	}
	return nil
}

func (s *service) hasHost(host string) bool { return slices.Contains(s.Hosts, host) }

// find returns the service for a request that came over a make of proxy; nil when there is none.
func (t table) find(proxy Proxy, host string, path claims.Path) *service {
	var found *service
	deepest := -1
	for _, s := range t.services {
		if s.Proxy != proxy || len(s.Hosts) > 0 && !s.hasHost(host) {
			continue
		}
		for _, p := range s.paths {
			if p.depth > deepest && below(path, p.path) {
				found, deepest = s, p.depth
			}
		}
	}
	return found
}

func below(path, base claims.Path) bool {
	_, yes := path.Below(base)
	return yes
}

func depth(p claims.Path) int {
	trimmed := strings.Trim(p.String(), "/")
	if trimmed == "" {
		return 0
	}
	return strings.Count(trimmed, "/") + 1
}

func orDefault(list []string, def string) []string {
	if len(list) == 0 {
		return []string{def}
	}
	return list
}

// hostName returns the host of "host[:port]" in lower case. A dot at its end, a list, or characters that no name has
// make it none.
func hostName(s string) (string, bool) {
	const most = 255
	if s == "" || len(s) > most {
		return "", false
	}
	host := s
	if strings.Contains(s, ":") { // an error of SplitHostPort costs more than all the rest
		if h, port, err := net.SplitHostPort(s); err == nil {
			if strings.Trim(port, "0123456789") != "" {
				return "", false
			}
			host = h
		} else if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
			host = strings.TrimSuffix(inner, "]")
		}
	}
	if strings.Contains(host, ":") {
		return strings.ToLower(host), net.ParseIP(host) != nil
	}
	bad := strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_')
	})
	return strings.ToLower(host), !bad && host != "" && !strings.HasSuffix(host, ".")
}

// validMethod reports whether m is a token of RFC 9110 section 5.6.2, of a length methods have.
func validMethod(m string) bool {
	const most = 32
	return len(m) <= most && validHeaderName(m)
}

func validHeaderName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// httpsURL reads an absolute https URL without user, query and fragment.
func httpsURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery ||
		strings.Contains(s, "#") {
		return nil, fmt.Errorf("%q is no https URL without user, query and fragment", s)
	}
	return u, nil
}
