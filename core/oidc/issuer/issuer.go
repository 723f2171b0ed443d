package issuer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// How many rows of each kind there may be at once.
const (
	mostCodes      = 10_000
	mostAssertions = 100_000
	mostGrants     = 50_000
	mostDevices    = 2_000
	mostSessions   = 5_000
	mostClients    = 5_000
)

// Issuer is a provider. It is an http.Handler, and all its methods are safe for concurrent use.
type Issuer struct {
	o     Options
	base  *url.URL
	mux   *http.ServeMux
	ring  ring
	pages func() *pages
	book  logbook
	plan  faults
	tries codeTries

	codes, pushed, assertions, grants, devices, sessions, clients room
}

// New checks o, loads or makes the signing keys in o.Engine, and returns the issuer. The error lists every fault of o.
func New(ctx context.Context, o Options) (*Issuer, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("configure the issuer: %w", err)
	}
	base, err := parseIssuer(o.URL)
	if err != nil {
		return nil, err
	}
	i := &Issuer{
		o: o, base: base, pages: sync.OnceValue(parsePages),
		codes:      room{table: codeTable(), most: mostCodes},
		pushed:     room{table: pushedTable(), most: mostCodes},
		assertions: room{table: assertionTable(), most: mostAssertions},
		grants:     room{table: grantTable(), most: mostGrants},
		devices:    room{table: deviceTable(), most: mostDevices},
		sessions:   room{table: sessionTable(), most: mostSessions},
		clients:    room{table: clientTable(), most: mostClients},
	}
	if err := i.openRing(ctx); err != nil {
		return nil, fmt.Errorf("open the issuer's keys: %w", err)
	}
	i.mux = i.routes()
	return i, nil
}

// URL returns the issuer exactly as it appears in iss.
func (i *Issuer) URL() string { return i.o.URL }

// routes is the whole API at a glance.
func (i *Issuer) routes() *http.ServeMux {
	mux := http.NewServeMux()
	p := strings.TrimSuffix(i.base.EscapedPath(), "/")
	on := func(pattern string, fn httpd.HandlerFunc) { mux.Handle(pattern, httpd.Handle(i.o.Log, fn)) }

	on("GET "+p+"/.well-known/openid-configuration", i.serveMetadata)
	on("GET /.well-known/oauth-authorization-server"+p, i.serveMetadata)
	if p != "" {
		on("GET /.well-known/openid-configuration"+p, i.serveMetadata)
	}
	on("GET "+p+"/jwks", i.serveKeys)

	on("GET "+p+"/authorize", i.authorize)
	on("POST "+p+"/authorize", i.authorize)
	on("GET "+p+"/device", i.devicePage)
	on("POST "+p+"/device", i.devicePage)

	on("POST "+p+"/par", i.push)
	on("POST "+p+"/token", i.token)
	on("POST "+p+"/device_authorization", i.deviceAuthorization)
	on("POST "+p+"/introspect", i.introspect)
	on("POST "+p+"/revoke", i.revoke)
	on("GET "+p+"/userinfo", i.userinfo)
	on("POST "+p+"/userinfo", i.userinfo)

	on("POST "+p+"/register", i.register)
	on("GET "+p+"/register/{id}", i.readClient)
	on("PUT "+p+"/register/{id}", i.updateClient)
	on("DELETE "+p+"/register/{id}", i.deleteClient)

	if i.o.TestControls {
		on("GET "+p+"/_test/log", i.serveLog)
		on("DELETE "+p+"/_test/log", i.clearLog)
		on("POST "+p+"/_test/fault", i.addFault)
		on("DELETE "+p+"/_test/fault", i.clearFaults)
		on("POST "+p+"/_test/rotate-keys", i.serveRotate)
	}
	return mux
}

// ServeHTTP answers one request. Requests for another host are refused: a name that a web page made point to this
// machine must not reach a provider that may sign people in on its own.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !i.ours(r.Host) {
		http.Error(w, "this issuer does not answer under that name", http.StatusMisdirectedRequest)
		return
	}
	i.withFaults(i.logged(i.mux)).ServeHTTP(w, r)
}

func (i *Issuer) ours(host string) bool {
	if host == i.base.Host {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return loopbackName(name)
}

// endpoint returns the URL of a path below the issuer.
func (i *Issuer) endpoint(path string) string { return strings.TrimSuffix(i.o.URL, "/") + path }
