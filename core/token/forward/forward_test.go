package forward

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

func TestIdentity(t *testing.T) {
	custom := storage(Nginx)
	custom.Headers = append(DefaultHeaders(), Header{"X-Mail", "email"}, Header{"X-Roles", "entitlements"},
		Header{"X-Client", "client_id"})
	w := newWorld(t, custom)
	ask1 := func(edit set) http.Header {
		resp := w.ask(ask{proxy: Nginx, target: "/f", header: auth(bearer(t, "storage.read:/", edit))})
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s: %s", resp.StatusCode, body(t, resp), w.last().Refusal.Reason())
		}
		return resp.Header
	}
	h := ask1(set{
		"sub": "alice 100%", "email": " a@b ", "entitlements": []string{"urn:a,b", "c d", "\x7f"},
	})
	for name, want := range map[string]string{
		"X-Token-Sub": "alice 100%25", "X-Token-Iss": testIssuer, "X-Token-Groups": "/vo,/vo/admins",
		"X-Token-Scope": "storage.read:/",
		"X-Token-Exp":   "1800000600", "X-Mail": "%20a@b%20", "X-Roles": "urn:a%2Cb,c d,%7F", "X-Client": "",
	} {
		if got, there := h[name]; !there || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// WLCG subjects are ASCII; the encoding of others is shown at encode.
	if got := encode("j\u00fcrgen\r\nX-Evil: 1 100%"); got != "j%C3%BCrgen%0D%0AX-Evil: 1 100%25" {
		t.Errorf("encoded: %q", got)
	}
	if back, err := url.PathUnescape(encode("j\u00fcrgen\r\n 100%")); err != nil || back != "j\u00fcrgen\r\n 100%" {
		t.Errorf("decoded: %q, %v", back, err)
	}
}

func TestIdentityTooLarge(t *testing.T) {
	s := storage(Traefik)
	s.Headers = append(DefaultHeaders(), Header{"X-All", "entitlements"})
	w := newWorld(t, s)
	h := auth(bearer(t, "storage.read:/", set{"entitlements": strings.Repeat("a", maxIdentity)}))
	resp := w.ask(ask{proxy: Traefik, target: "/f", header: h})
	if resp.StatusCode != http.StatusInternalServerError || !errors.Is(w.last().Refusal, errIdentitySize) {
		t.Errorf("%d, %v", resp.StatusCode, w.last().Refusal)
	}
	for _, one := range DefaultHeaders() {
		if v := resp.Header[one.Name]; len(v) != 1 || v[0] != "" {
			t.Errorf("%s: %q", one.Name, v)
		}
	}
}

// TestServices: exact host, port ignored; the longest path on segment borders; services of other proxies are not there.
func TestServices(t *testing.T) {
	w := newWorld(
		t,
		Service{Name: "page", Proxy: Traefik, Hosts: []string{"A.example.org", "b.example.org"}},
		Service{Name: "api", Proxy: Traefik, Hosts: []string{"a.example.org"}, Paths: []string{"/api", "/v2/api/"}},
		Service{Name: "storage", Proxy: Nginx, Hosts: []string{"a.example.org"}, Paths: []string{"/api/storage"}},
	)
	for _, c := range []struct{ host, path, want string }{
		{"a.example.org", "/", "page"},
		{"a.example.org:8443", "/x", "page"},
		{"A.EXAMPLE.org", "/api", "api"},
		{"a.example.org", "/api/", "api"},
		{"a.example.org", "/api/x", "api"},
		{"a.example.org", "//api/./x", "api"},
		{"a.example.org", "/%61pi/x", "api"},
		{"a.example.org", "/apix", "page"},
		{"a.example.org", "/v2", "page"},
		{"a.example.org", "/v2/api", "api"},
		{"a.example.org", "/api/storage/x", "api"}, // that of nginx is not asked for here
		{"b.example.org", "/api", "page"},
		{"c.example.org", "/", ""},
		{"example.org", "/", ""},
		{"xa.example.org", "/", ""},
	} {
		w.ask(ask{proxy: Traefik, host: c.host, target: c.path, header: auth(bearer(t, "x"))})
		if got := w.last().Request.Service; got != c.want {
			t.Errorf("%s%s: %q, want %q", c.host, c.path, got, c.want)
		}
		if c.want == "" && !strings.Contains(w.last().Refusal.Reason(), `behind traefik has host "`+c.host+`"`) {
			t.Errorf("%s: the log says %q", c.host, w.last().Refusal.Reason())
		}
	}
	for _, host := range []string{
		"a.example.org, b.example.org", "a.example.org.", "a.example.org:http", "a b",
		"a.example.org/x", "[::1", "\u00e4.example.org",
	} {
		resp := w.ask(ask{proxy: Traefik, host: host, target: "/", header: auth(bearer(t, "x"))})
		if got := meant(t, resp); got != "400" {
			t.Errorf("host %q: %s", host, got)
		}
	}
}

// TestStatus: what each proxy is told.
func TestStatus(t *testing.T) {
	refuse := func(r gate.Refusal) Gate { return saying{&r} }
	for _, c := range []struct {
		proxy         Proxy
		refusal       gate.Refusal
		unavailableAs int
		want          int
	}{
		{Nginx, gate.Refusal{Status: 400, Code: gate.InvalidRequest}, 0, 401},
		{Nginx, gate.Refusal{Status: 401, Code: gate.InvalidToken}, 0, 401},
		{Nginx, gate.Refusal{Status: 403, Code: gate.InsufficientScope}, 0, 403},
		{Nginx, gate.Refusal{Status: 503, RetryAfter: 5 * time.Second}, 0, 500},
		{Nginx, gate.Refusal{Status: 503, RetryAfter: 5 * time.Second}, 401, 401},
		{Nginx, gate.Refusal{Status: 500}, 401, 500},
		{Traefik, gate.Refusal{Status: 400}, 0, 400},
		{Traefik, gate.Refusal{Status: 503, RetryAfter: 5 * time.Second}, 0, 503},
		{Caddy, gate.Refusal{Status: 503, RetryAfter: 5 * time.Second}, 0, 503},
		{Envoy, gate.Refusal{Status: 503, RetryAfter: 5 * time.Second}, 0, 503},
		{Envoy, gate.Refusal{Status: 500}, 0, 500},
	} {
		s := storage(c.proxy)
		s.UnavailableAs = c.unavailableAs
		h, err := New(Options{Gate: refuse(c.refusal), Services: []Service{s}})
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, ask{proxy: c.proxy, target: "/f", header: auth("Bearer a.b.c")}.request())
		resp := rec.Result()
		if resp.StatusCode != c.want {
			t.Errorf("%s is told %d of %d, want %d", c.proxy, resp.StatusCode, c.refusal.Status, c.want)
		}
		if got, want := resp.Header.Get("Retry-After"), map[bool]string{true: "5"}[c.refusal.Status == 503]; got != want {
			t.Errorf("%s: Retry-After %q, want %q", c.proxy, got, want)
		}
		if (resp.Header.Get("Www-Authenticate") != "") != (c.refusal.Status < 500) {
			t.Errorf("%s, %d: challenge %q", c.proxy, c.refusal.Status, resp.Header.Get("Www-Authenticate"))
		}
	}
}

// saying is a gate that refuses everything in one way.
type saying struct{ no *gate.Refusal }

func (s saying) DecideAll(context.Context, gate.Presented, []policy.Request) (gate.Outcome, error) {
	return gate.Outcome{}, s.no
}
func (s saying) Refused(_ policy.Request, r *gate.Refusal) *gate.Refusal { return r }

func TestPreflight(t *testing.T) {
	s := storage(Caddy)
	s.Preflight = true
	with, without := newWorld(t, s), newWorld(t, storage(Caddy))
	preflight := auth("", "Origin", "https://app.example", "Access-Control-Request-Method", "PUT")
	for name, c := range map[string]struct {
		w      *world
		method string
		header http.Header
		want   string
	}{
		"allowed":        {with, "OPTIONS", preflight, "200"},
		"not configured": {without, "OPTIONS", preflight, "401"},
		"no preflight":   {with, "OPTIONS", auth("", "Origin", "https://app.example"), "401"},
		"another method": {with, "PUT", preflight, "401"},
		"with a token that is wrong": {with, "OPTIONS", auth("Bearer abc", "Origin", "x", "Access-Control-Request-Method",
			"PUT"), "401"},
		"with a forged identity": {
			with, "OPTIONS", auth("", "Origin", "x", "Access-Control-Request-Method", "PUT", "X_token_sub", "root"), "400",
		},
	} {
		resp := c.w.ask(ask{proxy: Caddy, method: c.method, target: "/f", header: c.header})
		if got := meant(t, resp); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if v := resp.Header["X-Token-Sub"]; len(v) != 1 || v[0] != "" {
			t.Errorf("%s: X-Token-Sub %q", name, v)
		}
	}
}

func TestMethodOverride(t *testing.T) {
	s := storage(Traefik)
	strict := newWorld(t, s)
	s.MethodOverride = true
	lax := newWorld(t, s)
	for _, name := range []string{
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
		"X_http_method_override",
	} {
		a := ask{proxy: Traefik, target: "/f", header: auth(bearer(t, "storage.read:/"), name, "DELETE")}
		if got := meant(t, strict.ask(a)); got != "400" {
			t.Errorf("%s: %s", name, got)
		}
		if got := meant(t, lax.ask(a)); got != "200" {
			t.Errorf("%s where it is allowed: %s", name, got)
		}
	}
}

func TestMetadata(t *testing.T) {
	s := storage(Nginx)
	s.Resource, s.Scopes, s.AuthorizationServers = "https://se.example.org:8443/data", []string{"storage.read:/"},
		[]string{testIssuer}
	w := newWorld(t, s, Service{
		Name: "page", Proxy: Nginx, Hosts: []string{"www.example.org"},
		Resource: "https://www.example.org/",
	})
	get := func(method, host, target string) *http.Response {
		r := httptest.NewRequest(method, "http://x/", nil)
		r.Host, r.RequestURI = host, target
		if !w.Serves(r) {
			t.Fatalf("%s is not served", target)
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		return rec.Result()
	}
	resp := get("GET", "se.example.org:8443", wellKnown+"/data")
	var got struct {
		Resource string
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
		Methods  []string `json:"bearer_methods_supported"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Resource != s.Resource || got.Servers[0] != testIssuer || got.Scopes[0] != "storage.read:/" ||
		got.Methods[0] != "header" {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		method, host, target string
		want                 int
	}{
		{"GET", "www.example.org", wellKnown, 200},
		{"HEAD", "www.example.org", wellKnown, 200},
		{"POST", "www.example.org", wellKnown, 405},
		{"GET", "se.example.org", wellKnown, 404},
		{"GET", "se.example.org", wellKnown + "/data/", 404},
		{"GET", "www.example.org", wellKnown + "/data", 404},
		{"GET", "evil.example.org", wellKnown + "/data", 404},
	} {
		if resp := get(c.method, c.host, c.target); resp.StatusCode != c.want {
			t.Errorf("%s %s%s: %d, want %d", c.method, c.host, c.target, resp.StatusCode, c.want)
		}
	}
	challenge := w.ask(ask{proxy: Nginx, target: "/f"}).Header.Get("Www-Authenticate")
	want := `resource_metadata="https://se.example.org:8443` + wellKnown + `/data"`
	if !strings.Contains(challenge, want) || !strings.Contains(challenge, `scope="storage.read:/"`) {
		t.Errorf("challenge %s", challenge)
	}
}

// asked keeps what the gate was shown.
type asked struct {
	shown gate.Presented
	saying
}

func (a *asked) DecideAll(_ context.Context, p gate.Presented, _ []policy.Request) (gate.Outcome, error) {
	a.shown = p
	return gate.Outcome{}, &gate.Refusal{Status: 401}
}

// TestProof: what a proof of possession is checked against is the client's request, not that of the proxy.
func TestProof(t *testing.T) {
	for _, c := range []struct {
		resource, host, want string
	}{
		{"", "se.example.org", "https://se.example.org/a/f"},
		{"", "se.example.org:8443", "https://se.example.org:8443/a/f"},
		{"https://se.example.org:8443/", "se.example.org", "https://se.example.org:8443/a/f"},
	} {
		s := storage(Nginx)
		s.Resource = c.resource
		g := &asked{}
		h, err := New(Options{Gate: g, Services: []Service{s}, ProofAlgs: []jose.Alg{jose.ES256}})
		if err != nil {
			t.Fatal(err)
		}
		a := ask{proxy: Nginx, method: "PUT", target: "/a/f?x=1", host: c.host, header: auth("dpop a.b.c", "Dpop", "p")}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, a.request())
		if g.shown.Scheme != gate.DPoP || len(g.shown.DPoP) != 1 || g.shown.Method != "PUT" || g.shown.URL != c.want {
			t.Errorf("shown %+v, want URL %s", g.shown, c.want)
		}
		if challenge := rec.Header().Get("Www-Authenticate"); !strings.Contains(challenge, `DPoP realm="storage"`) {
			t.Errorf("challenge %s", challenge)
		}
	}
}

func TestCertificate(t *testing.T) {
	der := []byte{0x30, 0x03, 0x02, 0x01, 0x3e, 0xfb, 0xff}
	b64 := base64.StdEncoding.EncodeToString(der)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s := &service{Service: Service{CertificateHeader: "x-client-cert"}}
	for name, c := range map[string]struct {
		values []string
		want   []byte
		fails  bool
	}{
		"none":               {},
		"empty":              {values: []string{""}},
		"RFC 9440":           {values: []string{":" + b64 + ":"}, want: der},
		"bare":               {values: []string{b64}, want: der},
		"escaped by nginx":   {values: []string{url.PathEscape(text)}, want: der},
		"escaped as a query": {values: []string{url.QueryEscape(b64)}, want: der},
		"two":                {values: []string{b64, b64}, fails: true},
		"rubbish":            {values: []string{"rubbish!"}, fails: true},
		"another kind of PEM": {
			values: []string{url.PathEscape(strings.ReplaceAll(text, "CERTIFICATE", "PUBLIC KEY"))},
			fails:  true,
		},
		"two in one":           {values: []string{url.PathEscape(text + text)}, fails: true},
		"too long":             {values: []string{strings.Repeat("A", maxCertificate+4)}, fails: true},
		"nothing between dots": {values: []string{"::"}, fails: true},
	} {
		got, err := s.certificate(http.Header{"X-Client-Cert": c.values})
		if string(got) != string(c.want) || (err != nil) != c.fails {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	if got, err := (&service{}).certificate(http.Header{"X-Client-Cert": {b64}}); got != nil || err != nil {
		t.Errorf("not configured: %x, %v", got, err)
	}
}

func TestConfig(t *testing.T) {
	ok := storage(Nginx)
	for name, c := range map[string]struct {
		services []Service
		want     string
	}{
		"none":            {nil, "no service"},
		"no name":         {[]Service{{Proxy: Nginx}}, "no name"},
		"no proxy":        {[]Service{{Name: "a"}}, `no proxy ""`},
		"unknown proxy":   {[]Service{{Name: "a", Proxy: "apache"}}, `no proxy "apache"`},
		"operations":      {[]Service{{Name: "a", Proxy: Nginx, Operations: "compute"}}, "no operations"},
		"host with port":  {[]Service{{Name: "a", Proxy: Nginx, Hosts: []string{"h:443"}}}, "without port"},
		"host with slash": {[]Service{{Name: "a", Proxy: Nginx, Hosts: []string{"https://h"}}}, "without port"},
		"relative path":   {[]Service{{Name: "a", Proxy: Nginx, Paths: []string{"a"}}}, "path"},
		"dots in a path":  {[]Service{{Name: "a", Proxy: Nginx, Paths: []string{"/a/../b"}}}, "path"},
		"same name":       {[]Service{ok, {Name: "storage", Proxy: Envoy}}, "two services"},
		"same place": {
			[]Service{ok, {Name: "a", Proxy: Nginx, Hosts: []string{testHost}, Paths: []string{"/x", "/"}}},
			"both serve",
		},
		"with and without hosts": {
			[]Service{ok, {Name: "a", Proxy: Nginx, Paths: []string{"/a"}}}, "made-up host",
		},
		"status":         {[]Service{{Name: "a", Proxy: Nginx, UnavailableAs: 503}}, "status 503"},
		"resource":       {[]Service{{Name: "a", Proxy: Nginx, Resource: "http://h/"}}, "https URL"},
		"header":         {[]Service{{Name: "a", Proxy: Nginx, Headers: []Header{{"X A", "sub"}}}}, "name of a header"},
		"header without": {[]Service{{Name: "a", Proxy: Nginx, Headers: []Header{{"X-A", ""}}}}, "no claim"},
		"header twice": {
			[]Service{{Name: "a", Proxy: Nginx, Headers: []Header{{"X-A", "sub"}, {"x_a", "iss"}}}},
			"twice",
		},
		"header in use": {
			[]Service{{Name: "a", Proxy: Nginx, Headers: []Header{{"authorization", "sub"}}}},
			"another meaning",
		},
		"forwarded header": {
			[]Service{{Name: "a", Proxy: Nginx, Headers: []Header{{"X_Forwarded_User", "sub"}}}},
			"another meaning",
		},
		"method":            {[]Service{{Name: "a", Proxy: Nginx, Methods: map[string]string{"PO ST": "x"}}}, "no operation"},
		"cert header":       {[]Service{{Name: "a", Proxy: Nginx, CertificateHeader: "a:b"}}, "name of a header"},
		"all faults at one": {[]Service{{Name: "a"}, {Name: "b", Proxy: "x"}}, `no proxy "x"`},
	} {
		_, err := New(Options{Gate: saying{}, Services: c.services})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Services: []Service{ok}}); !errors.Is(err, ErrConfig) {
		t.Errorf("without a gate: %v", err)
	}
	hosts := []string{"A.example"}
	if _, err := New(Options{Gate: saying{}, Services: []Service{{Name: "a", Proxy: Nginx, Hosts: hosts}}}); err != nil ||
		hosts[0] != "A.example" {
		t.Errorf("the caller's list became %v, %v", hosts, err)
	}
}

func TestGroupsOfOthers(t *testing.T) {
	h := header{claim: "groups"}
	out := &gate.Outcome{}
	out.Subject.Profile = claims.Generic
	var err error
	if out.Subject.Claims, err = claims.Parse([]byte(`{"iss":"i","sub":"s","groups":["a","b,c"],"wlcg.groups":["/x"]}`)); err != nil {
		t.Fatal(err)
	}
	if got := h.value(out); got != "a,b%2Cc" {
		t.Errorf("groups: %q", got)
	}
	out.Subject.Profile = claims.WLCG
	if got := h.value(out); got != "/x" {
		t.Errorf("wlcg.groups: %q", got)
	}
}
