package forward

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// The operations of the WLCG profile that HTTP methods stand for.
const (
	opRead   = "storage.read"
	opCreate = "storage.create"
	opModify = "storage.modify"
)

// requests is what the policy is asked about: one thing for most methods, several for COPY and MOVE, all of which
// have to be allowed. h are the headers of the client.
func (s *service) requests(o original, h http.Header, t table) ([]policy.Request, error) {
	if o.method == "COPY" || o.method == "MOVE" {
		if _, mapped := s.Methods[o.method]; !mapped {
			list, err := s.transfer(o, h, t)
			return everyReading(filling(list)), err
		}
	}
	operation, err := s.operation(o.method)
	if err != nil {
		return nil, err
	}
	return everyReading(filling([]policy.Request{s.request(o.method, operation, o.path)})), nil
}

// filling keeps the profile's rule of leading directories for MKCOL: who may create below /a/b may make /a/, and not
// put something else in its place. Without the slash at its end a path is that of no directory, and the rule does not
// hold.
func filling(list []policy.Request) []policy.Request {
	for i, r := range list {
		if r.Operation != opCreate || r.Method == "MKCOL" {
			continue
		}
		p, err := claims.ParseRequestPath(r.Path)
		if err != nil {
			continue
		}
		switch name := strings.TrimSuffix(p.String(), "/"); name {
		case "": // the root is there already
			list[i].Operation = opModify
		case p.String():
		default:
			list[i].Path = name
		}
	}
	return list
}

func (s *service) request(method, operation, path string) policy.Request {
	return policy.Request{Service: s.Name, Method: method, Operation: operation, Path: path}
}

// operation is that of every method but COPY and MOVE. Methods are compared with case, as HTTP says; what is not
// known is refused.
func (s *service) operation(method string) (string, error) {
	if op, ok := s.Methods[method]; ok {
		return op, nil
	}
	if s.Operations != Storage {
		return "", nil
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "PROPFIND":
		return opRead, nil
	case http.MethodPut:
		return s.write(nil), nil
	case "MKCOL":
		return opCreate, nil
	case http.MethodDelete, "PROPPATCH":
		return opModify, nil
	}
	return "", denied("the method is not known here")
}

// write is what it takes to put a file where one may be already. storage.create never overwrites, so it is enough
// only where nothing can be overwritten: the service is known not to, or the client says so (RFC 4918 section 10.6; a
// service that does COPY does that too).
func (s *service) write(h http.Header) string {
	if s.PutCreates || slices.Equal(h["Overwrite"], []string{"F"}) {
		return opCreate
	}
	return opModify
}

// transfer judges COPY and MOVE (RFC 4918 sections 9.8 and 9.9, and third-party copy): Source is where data is pulled
// from to the path of the request, Destination where they go from there. Exactly one of both has to be there.
func (s *service) transfer(o original, h http.Header, t table) ([]policy.Request, error) {
	source, destination := h["Source"], h["Destination"]
	if len(source)+len(destination) != 1 {
		return nil, denied("COPY and MOVE need exactly one Source or Destination")
	}
	far, local, err := s.peer(append(slices.Clone(source), destination...)[0], o, t)
	if err != nil {
		return nil, err
	}
	from, to := far, o.path
	if len(destination) == 1 {
		from, to = o.path, far
	}
	at := func(operation, path string) policy.Request {
		if s.Operations != Storage {
			operation = ""
		}
		return s.request(o.method, operation, path)
	}
	switch move := o.method == "MOVE"; {
	case local && move: // both directories change
		return []policy.Request{at(opModify, from), at(opModify, to)}, nil
	case local:
		return []policy.Request{at(opRead, from), at(s.write(h), to)}, nil
	case len(source) == 1: // pull: the other host has its own token for its part
		return []policy.Request{at(s.write(h), to)}, nil
	case move: // push, and delete here
		return []policy.Request{at(opRead, from), at(opModify, from)}, nil
	default:
		return []policy.Request{at(opRead, from)}, nil
	}
}

// peer reads the URL of Source or Destination: a path of this service, or a place on another host. The port is not
// looked at, so that nothing on a host of ours counts as elsewhere.
func (s *service) peer(value string, o original, t table) (path string, local bool, err error) {
	if value == "" || len(value) > maxTarget ||
		strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", false, unclear()
	}
	u, err := url.Parse(value)
	if err != nil || u.User != nil || u.Opaque != "" || strings.Contains(value, "#") {
		return "", false, unclear()
	}
	if u.Scheme == "" && u.Host == "" { // a path alone is one here
		return s.localPeer(value, o.name, t)
	}
	name, ok := hostName(u.Host)
	if !ok || !slices.Contains(transferSchemes(), strings.ToLower(u.Scheme)) {
		return "", false, unclear()
	}
	switch {
	case name == o.name || t.has(name):
		_, rest, _ := strings.Cut(value, "://")
		return s.localPeer(rest[strings.IndexAny(rest+"/", "/?"):], name, t)
	case len(s.Hosts) == 0:
		return "", false, denied("a service without hosts cannot tell what is elsewhere")
	}
	return "", false, nil
}

func unclear() error { return denied("Source or Destination cannot be read") }

func transferSchemes() []string {
	return []string{"https", "http", "davs", "dav", "s3s", "s3", "roots", "root"}
}

// localPeer takes a path that is of the same service; one of its neighbours has its own rules, which were not asked
// for.
func (s *service) localPeer(raw, host string, t table) (string, bool, error) {
	if raw == "" {
		raw = "/"
	}
	if strings.Contains(raw, "?") {
		return "", false, unclear()
	}
	path, err := parsePath(raw)
	if err != nil {
		return "", false, err
	}
	if t.find(s.Proxy, host, path) != s || !t.sureOf(s, host, raw) {
		return "", false, denied("Source or Destination is of another service")
	}
	return raw, true, nil
}

// has reports whether a host is one of any service.
func (t table) has(name string) bool {
	return slices.ContainsFunc(t.services, func(o *service) bool { return o.hasHost(name) })
}
