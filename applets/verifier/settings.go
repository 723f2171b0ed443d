package verifier

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/forward"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/introspection"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

// settings are a configuration file of the daemon, read and checked as far as that is possible without starting it.
type settings struct {
	listen  []listen.Place
	control string // "": the default place; off: none
	proxies proxies
	caFile  string

	keysDir   string
	lifetimes provider.Lifetimes

	gate     gate.Config
	services []forward.Service

	dpop proofs

	introspection map[string]introspection.Client
	socketService string // as whom a Unix socket may introspect without credentials
	socketOpen    bool

	audit   string // stdout, stderr, none or a file
	metrics metricsPlace
	limits  limits

	notes []config.Fault
}

// proxies says who may ask over TCP. What is set has to hold.
type proxies struct {
	trusted []netip.Prefix
	header  string
	secret  secret.Text
}

func (p proxies) guarded() bool { return len(p.trusted) > 0 || !p.secret.Empty() }

// proofs says how proofs of possession are checked.
type proofs struct {
	nonces   bool
	nonceKey secret.Text // shared by the instances of one service; empty: each makes its own
}

// metricsPlace is where the metrics are: nowhere, beside everything else, or at an address of their own.
type metricsPlace struct {
	off    bool
	listen string
}

type limits struct {
	connections int
	grace       time.Duration
	cache       int // bytes of verified tokens
}

const controlOff = "off"

// The keys of each mapping. A test holds that the example has them all.
func topKeys() []string {
	return []string{
		"version", "listen", "proxies", "control", "ca_file", "keys", "audiences", "issuers", "dpop", "policy", "services",
		"introspection", "audit", "metrics", "limits",
	}
}

func proxyKeys() []string         { return []string{"trusted", "secret_header", "secret_file"} }
func keysKeys() []string          { return []string{"dir", "lifetimes"} }
func introspectionKeys() []string { return []string{"socket", "clients"} }
func askerKeys() []string         { return []string{"secret_file", "service"} }
func dpopKeys() []string          { return []string{"nonces", "nonce_key_file"} }
func limitKeys() []string         { return []string{"connections", "token", "cache", "grace"} }

// settingsReader is a config.Reader for the keys of this daemon.
type settingsReader struct {
	*config.Reader
	s *settings
}

// readSettings reads a configuration. The error is config.Faults, all that is wrong, or why the file cannot be read.
func readSettings(name string) (*settings, error) {
	b, err := config.ReadFile(name, config.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parseSettings(name, b)
}

func parseSettings(name string, b []byte) (*settings, error) {
	r := settingsReader{config.NewReader(name), &settings{}}
	if top := r.Document(b); top.Present() {
		r.top(top)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	r.s.notes = r.Notes()
	return r.s, nil
}

func (r settingsReader) top(top config.At) {
	f := r.Fields(top, topKeys()...)
	r.Version(top, f, 1)
	r.Need(top, f, "listen", "issuers", "policy")
	r.s.control, _ = r.Path(f["control"])
	if f["control"].Raw() == controlOff {
		r.s.control = controlOff
	}
	r.s.caFile, _ = r.Path(f["ca_file"])
	r.keys(f["keys"])
	r.s.gate.Audiences = r.audiences(f["audiences"])
	for _, iss := range issuers.Read(r.Reader, f["issuers"], issuers.Options{Lifetimes: r.s.lifetimes}) {
		r.s.gate.Issuers = append(r.s.gate.Issuers, iss.Issuer)
	}
	r.policy(f["policy"])
	r.services(f["services"])
	r.dpop(f["dpop"])
	r.introspection(f["introspection"])
	r.proxies(f["proxies"])
	r.s.listen = listen.Read(r.Reader, f["listen"], r.reachable)
	r.s.audit = r.TextOr(f["audit"], "stdout")
	if !slices.Contains(audit.Streams(), r.s.audit) {
		r.s.audit, _ = r.Path(f["audit"])
	}
	r.metrics(f["metrics"])
	r.limits(f["limits"])
	r.whole(top)
}

// whole judges what only shows when all is read.
func (r settingsReader) whole(top config.At) {
	g := &r.s.gate
	r.serviceNames(top)
	if g.Policy != nil && len(g.Issuers) > 1 {
		for _, claim := range g.Policy.Unbound() {
			r.Note(top, "the policy takes the claim %q from every issuer: each of the %d that are trusted can give it to whom it "+
				"likes (add issuer: URL beside claim)", claim, len(g.Issuers))
		}
	}
	if r.s.socketOpen && !slices.ContainsFunc(r.s.listen, func(p listen.Place) bool { return p.Unix != "" || p.Systemd }) {
		r.Note(top, "introspection.socket is for a Unix socket, and listen has no Unix socket")
	}
	if len(g.Audiences) == 0 && !r.ownAudiences() {
		r.Fault(top, "audiences is missing: without it tokens made for others would be accepted; name your service as "+
			"issuers know it: audiences: [https://api.example.org]")
	}
	if len(r.s.services) == 0 && len(r.s.introspection) == 0 && !r.s.socketOpen {
		r.Fault(top, "nobody could ask: there is neither a service with a proxy nor introspection")
	}
	if r.Err() != nil {
		return
	}
	// What only the packages below know is found by making them, which starts nothing.
	r.makeGate(top)
	if len(r.s.services) > 0 {
		_, err := forward.New(forward.Options{Gate: (*gate.Gate)(nil), Services: r.s.services})
		r.all(top, err)
	}
	if len(r.s.introspection) > 0 {
		_, err := introspection.New(nil, introspection.Options{Clients: r.s.introspection})
		r.all(top, err)
	}
}

func (r settingsReader) makeGate(top config.At) {
	hc, err := httpc.New(httpc.Options{CAFile: r.s.caFile})
	if err != nil {
		r.all(top, err)
		return
	}
	defer hc.CloseIdle()
	g, err := gate.New(r.s.gate, gate.Options{HTTP: hc})
	if err == nil {
		g.Close()
	}
	r.all(top, err)
}

// all says each of the errors that are joined in err.
func (r settingsReader) all(a config.At, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		r.Fault(a, "%s", line)
	}
}

// ownAudiences reports whether every service has audiences of its own.
func (r settingsReader) ownAudiences() bool {
	for _, s := range r.s.gate.Services {
		if s.Audiences == nil {
			return false
		}
	}
	return len(r.s.gate.Services) > 0
}

func (r settingsReader) audiences(a config.At) []string {
	list := r.Texts(a)
	for _, aud := range list {
		if aud == claims.AnyWLCG || aud == claims.AnySciTokens {
			r.Note(a, "%s takes tokens for everybody: whoever got one elsewhere can use it here", aud)
		}
	}
	return list
}

func (r settingsReader) keys(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, keysKeys()...)
	}
	r.s.keysDir, _ = r.Path(f["dir"])
	r.s.lifetimes = issuers.Lifetimes(r.Reader, f["lifetimes"])
	if r.s.keysDir == "" {
		r.Note(a, "keys.dir is not set: after a restart the keys of every issuer have to be fetched first")
	}
}

// policy reads a policy that stands here, or in a file of its own.
func (r settingsReader) policy(a config.At) {
	if a.Kind() != config.Text {
		if r.Usable(a) {
			r.s.gate.Policy = policy.Read(r.Reader, a)
		}
		return
	}
	name, ok := r.Path(a)
	if !ok {
		return
	}
	b, err := config.ReadFile(name, policy.MaxSize)
	if err != nil {
		r.Fault(a, "%v", err)
		return
	}
	p, err := policy.Parse(name, b)
	if err != nil {
		r.Include(a, err, nil)
		return
	}
	r.Include(a, nil, p.Notes)
	r.s.gate.Policy = p
}

func (r settingsReader) dpop(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, dpopKeys()...)
	r.s.dpop.nonces = r.Bool(f["nonces"], false)
	if k := f["nonce_key_file"]; k.Present() {
		r.s.dpop.nonceKey, _ = r.SecretFile(k)
		if !r.s.dpop.nonces {
			r.Fault(k, "is for nonces: true")
		}
	}
	if _, err := dpop.New(r.s.dpop.options(time.Now)); err != nil {
		r.Fault(a, "%v", err)
	}
}

func (p proofs) options(now func() time.Time) dpop.Options {
	return dpop.Options{Nonces: p.nonces, NonceKey: p.nonceKey, Now: now}
}

func (r settingsReader) introspection(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, introspectionKeys()...)
	r.s.introspection = map[string]introspection.Client{}
	for _, p := range r.Pairs(f["clients"]) {
		c := r.Fields(p.At, askerKeys()...)
		r.Need(p.At, c, "secret_file")
		client := introspection.Client{Service: r.service(c["service"])}
		client.Secret, _ = r.SecretFile(c["secret_file"])
		r.s.introspection[p.Name] = client
	}
	if s := f["socket"]; s.Present() {
		r.s.socketOpen = true
		if s.Kind() != config.Bool || !r.Bool(s, false) {
			r.s.socketService = r.service(s)
		}
	}
}

// service reads the name of a service, which has to be among those of the configuration.
func (r settingsReader) service(a config.At) string {
	name, ok := r.Text(a)
	if !ok {
		return ""
	}
	if _, there := r.s.gate.Services[name]; !there {
		r.Fault(a, "there is no service %q in services", name)
	}
	return name
}

func (r settingsReader) metrics(a config.At) {
	switch a.Kind() {
	case config.Text:
		r.s.metrics.listen = listen.Address(r.Reader, a)
	default:
		r.s.metrics.off = !r.Bool(a, true)
	}
}

func (r settingsReader) limits(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, limitKeys()...)
	}
	r.s.limits.connections = r.Int(f["connections"], 0, 1, 1<<20)
	r.s.limits.grace = r.Duration(f["grace"], 0, time.Second, 10*time.Minute)
	r.s.limits.cache = int(r.Size(f["cache"], verify.DefaultCacheBytes, 64<<10, 1<<30))
	r.s.gate.MaxToken = int(r.Size(f["token"], jose.MaxToken, 1<<10, math.MaxInt32))
	if r.s.gate.MaxToken > maxTokenLimit {
		r.Fault(f["token"], "has to be at most %d bytes: a larger header is not read", maxTokenLimit)
	}
}

// maxTokenLimit is what the headers of a request have room for.
const maxTokenLimit = jose.MaxToken

// faultsOf returns the single faults in err, nil when it is none of a configuration.
func faultsOf(err error) config.Faults {
	var faults config.Faults
	if errors.As(err, &faults) {
		return faults
	}
	return nil
}
