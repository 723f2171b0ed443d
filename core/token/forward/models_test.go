package forward

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Traefik and Envoy are not in Debian. What stands here does what their documentation and sources say they do, as far
// as forward-auth goes, with the settings of the blocks in the administrator's guide and nothing else: a setting that
// is missing there is missing here. It shows that block and verifier fit together; that the programs themselves do
// what is written about them, it cannot show.

// startModel serves a proxy in the place of a real one.
func startModel(t testing.TB, p Proxy, handler func(s *site) http.Handler) *site {
	t.Helper()
	s := newSite(t, p)
	cert, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", s.front)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{
		Listener: ln, Config: &http.Server{Handler: handler(s)},
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return s
}

// strictYAML reads a block; a setting the model does not know is an error, so that none is believed to do something.
func strictYAML(t testing.TB, text string, into any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Fatal(err)
	}
}

type traefikStatic struct {
	EntryPoints map[string]struct {
		Address string
		HTTP    struct {
			AliasHeadersStrategy string `yaml:"aliasHeadersStrategy"`
		} `yaml:"http"`
	} `yaml:"entryPoints"`
	Providers struct{ File struct{ Directory string } }
}

type traefikDynamic struct {
	HTTP struct {
		Routers map[string]struct {
			EntryPoints   []string `yaml:"entryPoints"`
			Rule, Service string
			Middlewares   []string
			TLS           map[string]string `yaml:"tls"`
		}
		Middlewares map[string]traefikMiddleware
		Services    map[string]struct {
			LoadBalancer struct{ Servers []struct{ URL string } } `yaml:"loadBalancer"`
		}
	}
}

type traefikMiddleware struct {
	Headers struct {
		CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
	}
	ForwardAuth struct {
		Address             string
		TrustForwardHeader  bool     `yaml:"trustForwardHeader"`
		AuthResponseHeaders []string `yaml:"authResponseHeaders"`
	} `yaml:"forwardAuth"`
}

// traefik is what the two blocks make of it.
type traefik struct {
	static  traefikStatic
	dynamic traefikDynamic
}

func startTraefik(t testing.TB, edit func(string) string) *site {
	t.Helper()
	return startModel(t, Traefik, func(s *site) http.Handler {
		tr := &traefik{}
		strictYAML(t, block(t, "/etc/traefik/traefik.yaml"), &tr.static)
		text := with(t, block(t, "/etc/traefik/dynamic/se.yaml"), "127.0.0.1:9100", s.addr, "127.0.0.1:9000",
			s.service.Listener.Addr().String())
		if edit != nil {
			text = edit(text)
		}
		strictYAML(t, text, &tr.dynamic)
		return tr
	})
}

func (tr *traefik) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := "se"
	if rule := tr.dynamic.HTTP.Routers["se-metadata"].Rule; strings.Contains(rule, "&& Path(`"+r.URL.Path+"`)") { // longer
		name = "se-metadata"
	}
	router := tr.dynamic.HTTP.Routers[name]
	host, _ := hostName(r.Host)
	if !strings.Contains(router.Rule, "Host(`"+host+"`)") {
		http.NotFound(w, r)
		return
	}
	// Entry point: headers Connection names go at once, so do aliases.
	for _, list := range r.Header["Connection"] {
		for one := range strings.SplitSeq(list, ",") {
			r.Header.Del(strings.TrimSpace(one))
		}
	}
	r.Header.Del("Connection")
	if tr.static.EntryPoints[router.EntryPoints[0]].HTTP.AliasHeadersStrategy == "delete" {
		for name := range r.Header {
			if aliasKey(name) != strings.ToLower(name) {
				delete(r.Header, name)
			}
		}
	}
	for _, m := range router.Middlewares {
		if !tr.dynamic.HTTP.Middlewares[m].serve(w, r) {
			return
		}
	}
	to, _ := url.Parse(tr.dynamic.HTTP.Services[router.Service].LoadBalancer.Servers[0].URL)
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host
	}}).ServeHTTP(w, r)
}

// serve runs one middleware and reports whether the request goes on.
func (m traefikMiddleware) serve(w http.ResponseWriter, r *http.Request) bool {
	for name, value := range m.Headers.CustomRequestHeaders {
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if m.ForwardAuth.Address == "" {
		return true
	}
	ask, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, m.ForwardAuth.Address, nil)
	ask.Header = r.Header.Clone()
	for _, hop := range []string{"Connection", "Keep-Alive", "Te", "Trailers", "Transfer-Encoding", "Upgrade"} {
		ask.Header.Del(hop)
	}
	own := map[string]string{
		"X-Forwarded-Method": r.Method, "X-Forwarded-Host": r.Host, "X-Forwarded-Uri": r.URL.RequestURI(),
		"X-Forwarded-Proto": "https",
		"X-Forwarded-For":   "127.0.0.1",
	}
	for name, value := range own {
		if !m.ForwardAuth.TrustForwardHeader || ask.Header.Get(name) == "" {
			ask.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(ask)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return false
	}
	for _, name := range m.ForwardAuth.AuthResponseHeaders {
		name = http.CanonicalHeaderKey(name)
		delete(r.Header, name)
		if values := resp.Header[name]; len(values) > 0 {
			r.Header[name] = values
		}
	}
	return true
}

// envoyConfig is the part of Envoy's bootstrap that the block uses.
type envoyConfig struct {
	Static struct {
		Listeners []struct {
			Name    string
			Address yaml.Node
			Chains  []struct {
				Transport yaml.Node `yaml:"transport_socket"`
				Filters   []struct {
					Name   string
					Config envoyManager `yaml:"typed_config"`
				}
			} `yaml:"filter_chains"`
		}
		Clusters []struct {
			Name, Type string
			Timeout    string `yaml:"connect_timeout"`
			Assignment struct {
				Name      string `yaml:"cluster_name"`
				Endpoints []struct {
					LB []struct {
						Endpoint struct {
							Address struct {
								Socket struct {
									Address string
									Port    string `yaml:"port_value"`
								} `yaml:"socket_address"`
							}
						}
					} `yaml:"lb_endpoints"`
				}
			} `yaml:"load_assignment"`
		}
	} `yaml:"static_resources"`
}

type envoyManager struct {
	Type   string `yaml:"@type"`
	Stat   string `yaml:"stat_prefix"`
	Common struct {
		Underscores string `yaml:"headers_with_underscores_action"`
	} `yaml:"common_http_protocol_options"`
	Slashes string `yaml:"path_with_escaped_slashes_action"`
	Routes  struct {
		Hosts []struct {
			Name    string
			Domains []string
			Routes  []envoyRoute
		} `yaml:"virtual_hosts"`
	} `yaml:"route_config"`
	Filters []struct {
		Name   string
		Config envoyFilter `yaml:"typed_config"`
	} `yaml:"http_filters"`
}

type envoyRoute struct {
	Match     struct{ Prefix, Path string }
	Route     struct{ Cluster string }
	PerFilter map[string]struct {
		Type     string `yaml:"@type"`
		Disabled bool
	} `yaml:"typed_per_filter_config"`
}

type envoyPatterns struct {
	Patterns []struct{ Exact, Prefix string }
}

func (p envoyPatterns) match(name string) bool {
	name = strings.ToLower(name)
	for _, one := range p.Patterns {
		if one.Exact == name || one.Prefix != "" && strings.HasPrefix(name, one.Prefix) {
			return true
		}
	}
	return false
}

type envoyFilter struct {
	Type      string `yaml:"@type"`
	Mutations struct {
		Request []struct{ Remove string } `yaml:"request_mutations"`
	}
	API       string `yaml:"transport_api_version"`
	AllowFail bool   `yaml:"failure_mode_allow"`
	OnError   struct {
		Code string
	} `yaml:"status_on_error"`
	Allowed envoyPatterns `yaml:"allowed_headers"`
	HTTP    struct {
		Server struct {
			URI, Cluster, Timeout string
		} `yaml:"server_uri"`
		Prefix   string `yaml:"path_prefix"`
		Response struct {
			Upstream envoyPatterns `yaml:"allowed_upstream_headers"`
			Client   envoyPatterns `yaml:"allowed_client_headers"`
		} `yaml:"authorization_response"`
	} `yaml:"http_service"`
}

func startEnvoy(t testing.TB) *site {
	t.Helper()
	return startModel(t, Envoy, func(s *site) http.Handler {
		_, verifier, _ := net.SplitHostPort(s.addr)
		_, service, _ := net.SplitHostPort(s.service.Listener.Addr().String())
		text := with(t, block(t, "/etc/envoy/envoy.yaml"), "port_value: 9100", "port_value: "+verifier, "port_value: 9000",
			"port_value: "+service)
		e := &envoy{}
		strictYAML(t, text, &e.envoyConfig)
		return e
	})
}

type envoy struct{ envoyConfig }

func (e *envoy) manager() envoyManager { return e.Static.Listeners[0].Chains[0].Filters[0].Config }

func (e *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := e.manager()
	host, _ := hostName(r.Host)
	path := strings.ToLower(r.URL.EscapedPath())
	switch {
	case !slices.Contains(m.Routes.Hosts[0].Domains, host) && !slices.Contains(m.Routes.Hosts[0].Domains, "*"):
		w.WriteHeader(http.StatusNotFound)
		return
	case m.Slashes == "REJECT_REQUEST" && (strings.Contains(path, "%2f") || strings.Contains(path, "%5c")),
		!strings.HasPrefix(r.RequestURI, "/"):
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for name := range r.Header {
		if strings.Contains(name, "_") && m.Common.Underscores == "REJECT_REQUEST" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	r.Header.Del("Connection") // without what it names
	var route envoyRoute
	for _, candidate := range m.Routes.Hosts[0].Routes {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		route = candidate
		if m := candidate.Match; m.Path == path || m.Path == "" && strings.HasPrefix(path, m.Prefix) {
			break
		}
	}
	for _, f := range m.Filters {
		if !route.PerFilter[f.Name].Disabled && !e.filter(f.Config, w, r) {
			return
		}
	}
	e.forward(w, r, route.Route.Cluster)
}

// filter runs one and reports whether the request goes on.
func (e *envoy) filter(f envoyFilter, w http.ResponseWriter, r *http.Request) bool {
	switch kind := f.Type[strings.LastIndex(f.Type, ".")+1:]; kind {
	case "HeaderMutation":
		for _, m := range f.Mutations.Request {
			for name := range r.Header {
				if strings.EqualFold(name, m.Remove) {
					delete(r.Header, name)
				}
			}
		}
		return true
	case "ExtAuthz":
		return e.authorise(f, w, r)
	}
	return true
}

func (e *envoy) authorise(f envoyFilter, w http.ResponseWriter, r *http.Request) bool {
	header := http.Header{"Content-Length": {"0"}, "X-Envoy-Internal": {"true"}, "X-Forwarded-For": {"127.0.0.1"}}
	for name, values := range r.Header {
		if name == "Authorization" || f.Allowed.match(name) {
			header[name] = values
		}
	}
	resp, err := e.send(r, f.HTTP.Server.Cluster, f.HTTP.Prefix+r.RequestURI, header, nil)
	if err != nil || resp.StatusCode >= 500 {
		if f.AllowFail {
			return true
		}
		status := map[string]int{
			"":                   http.StatusForbidden,
			"ServiceUnavailable": http.StatusServiceUnavailable,
		}[f.OnError.Code]
		w.WriteHeader(status)
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	for name, values := range resp.Header {
		switch {
		case resp.StatusCode == http.StatusOK && f.HTTP.Response.Upstream.match(name):
			r.Header[name] = values
		case resp.StatusCode != http.StatusOK && f.HTTP.Response.Client.match(name):
			w.Header()[name] = values
		}
	}
	if resp.StatusCode != http.StatusOK {
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}
	return resp.StatusCode == http.StatusOK
}

func (e *envoy) forward(w http.ResponseWriter, r *http.Request, cluster string) {
	body, _ := io.ReadAll(r.Body)
	resp, err := e.send(r, cluster, r.RequestURI, r.Header, body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// send is a request with a target as it is.
func (e *envoy) send(r *http.Request, cluster, target string, h http.Header, body []byte) (*http.Response, error) {
	address := ""
	for _, c := range e.Static.Clusters {
		if c.Name == cluster {
			a := c.Assignment.Endpoints[0].LB[0].Endpoint.Address.Socket
			address = net.JoinHostPort(a.Address, a.Port)
		}
	}
	out := (&http.Request{
		Method: r.Method, Host: r.Host, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		URL: &url.URL{Scheme: "http", Host: address, Opaque: target},
	}).WithContext(r.Context())
	if strings.HasPrefix(target, "//") { // which Opaque would take for a host
		out.URL = &url.URL{Scheme: "http", Host: address, Path: target}
	}
	return http.DefaultTransport.RoundTrip(out)
}

func TestTraefik(t *testing.T) {
	s := startTraefik(t, nil)
	journeys(t, s)
	t.Run("a header with a dot is dropped by the entry point", func(t *testing.T) {
		r := s.call(t, call{
			target: "/f", lines: []string{"Authorization: " + s.one.token(t, "storage.read:/"), "X.Token.Sub: root"},
		})
		if r.StatusCode != http.StatusOK || r.seen == nil || forgedIn(r.seen.Header) != "" {
			t.Errorf("%d, the service saw %v", r.StatusCode, r.seen)
		}
	})
	t.Run("without the deletions the verifier refuses", func(t *testing.T) {
		s := startTraefik(t, func(text string) string { return with(t, text, "[no-identity, verifier]", "[verifier]") })
		r := s.call(t, call{target: "/f", lines: []string{
			"Authorization: " + s.one.token(t, "storage.read:/"),
			"X-Token-Sub: root",
		}})
		if r.StatusCode != http.StatusBadRequest || r.seen != nil {
			t.Errorf("%d, the service saw %v", r.StatusCode, r.seen)
		}
	})
}

func TestEnvoy(t *testing.T) {
	journeys(t, startEnvoy(t))
}
