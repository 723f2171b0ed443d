package mytokenserver

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

// settings are a configuration file, read and checked as far as that is possible without starting anything.
type settings struct {
	file   string // its name
	issuer string

	listen   []listen.Place
	proxies  []netip.Prefix
	unixPeer bool   // who reaches a Unix socket of ours is a proxy
	control  string // the socket of the operator; "": beside the state; off: none

	operator  operator
	state     statePlace
	keys      keysPlace
	providers []upstream.Config
	guests    bool
	features  desk.Features
	info      infoFeatures
	limits    desk.Limits
	rates     rates
	conns     int
	grace     time.Duration
	world     worldPlaces
	retention retention
	audit     string
	metrics   metricsPlace
	caFile    string
	pages     pagesPlace
	ssh       sshPlace
	mail      mailPlace
	groups    map[string]secret.Text // passwords of those who keep templates
	askers    map[string]secret.Text // who may introspect any mytoken

	notes []config.Fault
}

// operator is who runs the server, for its pages and its metadata.
type operator struct {
	name, homepage, contact, privacy, documentation string
}

// worldPlaces are where what is known of addresses comes from.
type worldPlaces struct {
	geo   string // file; "": none
	home  string // country of the server itself
	names bool   // reverse DNS
}

type retention struct {
	ended  time.Duration
	events int
	sweep  time.Duration
}

// metricsPlace is where the metrics are: nowhere, or at an address of their own.
type metricsPlace struct {
	listen string
}

// rates bound how often something may be asked.
type rates struct {
	address, user, token rate
}

type rate struct {
	requests int // 0: no limit
	window   time.Duration
}

// infoFeatures are what is switched on beside what desk has.
type infoFeatures struct {
	revocation, introspect, history, tree, list, tokenExchange bool
}

const controlOff = "off"

// The keys of each mapping. A test holds that the example has them all.
func topKeys() []string {
	return []string{
		"version", "issuer", "listen", "proxies", "control", "operator", "state", "keys", "providers", "guests", "features",
		"limits", "addresses", "retention", "audit", "metrics", "ca_file", "pages", "ssh", "mail", "profile_groups",
		"introspection_clients",
	}
}

func operatorKeys() []string {
	return []string{"name", "homepage", "contact", "privacy_contact", "documentation"}
}
func keysKeys() []string      { return []string{"dir", "alg"} }
func addressKeys() []string   { return []string{"geoip_file", "home_country", "reverse_dns"} }
func retentionKeys() []string { return []string{"ended", "events", "sweep"} }

// settingsReader is a config.Reader for the keys of this server.
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
	s, err := parseSettings(name, b)
	if err != nil {
		return nil, err
	}
	// Who can change it can let himself be believed as a proxy, or have people log in at a provider of his own.
	if info, err := os.Stat(name); err == nil && changeable(info) {
		s.notes = append(s.notes, config.Fault{
			File: name, Text: fmt.Sprintf("can be changed by everybody (mode %04o)", info.Mode().Perm()),
		})
	}
	return s, nil
}

func parseSettings(name string, b []byte) (*settings, error) {
	r := settingsReader{config.NewReader(name), &settings{file: name}}
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
	r.Need(top, f, "issuer", "listen", "operator", "state", "keys")
	r.issuer(f["issuer"])
	r.proxies(f["proxies"])
	r.s.listen = listen.Read(r.Reader, f["listen"], r.reachable)
	r.s.caFile, _ = r.Path(f["ca_file"])
	r.operator(f["operator"])
	r.state(f["state"])
	r.s.control, _ = r.Path(f["control"])
	if f["control"].Raw() == controlOff {
		r.s.control = controlOff
	}
	r.keys(f["keys"])
	r.s.guests = r.Bool(f["guests"], false)
	r.providerList(f["providers"])
	r.features(f["features"])
	r.limits(f["limits"])
	r.addresses(f["addresses"])
	r.retention(f["retention"])
	r.s.audit = r.TextOr(f["audit"], "stdout")
	if !slices.Contains(audit.Streams(), r.s.audit) {
		r.s.audit, _ = r.Path(f["audit"])
	}
	r.s.metrics.listen = listen.Address(r.Reader, f["metrics"])
	r.pages(f["pages"])
	r.ssh(f["ssh"])
	r.mail(f["mail"])
	r.s.groups = r.secrets(f["profile_groups"], "password_file", minGroupSecret)
	r.s.askers = r.secrets(f["introspection_clients"], "secret_file", minAskerSecret)
	if len(r.s.providers) == 0 && !r.s.guests && r.Err() == nil {
		r.Fault(top, "there is no provider: nobody could log in (providers, or guests: true to try things out)")
	}
}

// issuer is https but on this machine alone: mytokens are passwords, and so are the cookies of the pages.
func (r settingsReader) issuer(a config.At) {
	s, ok := r.URL(a, "https", "http")
	if !ok {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.RawQuery != "" || u.ForceQuery {
		r.Fault(a, "has to be a plain URL without query")
		return
	}
	if u.Scheme == "http" && !onThisMachine(u.Hostname()) {
		r.Fault(a, "has to be https: mytokens are passwords (http is for localhost and loopback addresses)")
	}
	if u.Path != "" {
		r.Fault(a, "has to have nothing behind the host, no slash either: it stands in every mytoken, and clients append to it")
	}
	r.s.issuer = s
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (r settingsReader) reachable(a config.At, p listen.Place) {
	if p.Reachable() && p.Cert == "" {
		r.Note(a, "mytokens come over the network in the clear: add tls, or put it behind something that has it")
	}
}

// unixPeers is what stands in proxies for whoever reaches a Unix socket of ours.
const unixPeers = "unix"

func (r settingsReader) proxies(a config.At) {
	if a.Present() {
		r.s.proxies, r.s.unixPeer = listen.Networks(r.Reader, a, unixPeers)
	}
}

func (r settingsReader) operator(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, operatorKeys()...)
	r.Need(a, f, "name", "contact")
	o := &r.s.operator
	o.name, _ = r.Text(f["name"])
	o.contact, _ = r.Text(f["contact"])
	o.privacy = r.TextOr(f["privacy_contact"], o.contact)
	o.homepage, _ = r.URL(f["homepage"], "https", "http")
	o.documentation, _ = r.URL(f["documentation"], "https", "http")
}

// keysPlace is where the signing keys are, and of what kind a new one is.
type keysPlace struct {
	dir string
	alg jose.Alg
}

// algorithms are those that mytokens can be signed with, the usual one first.
func algorithms() []string {
	return []string{
		string(mint.DefaultAlg), string(jose.ES384), string(jose.ES256), string(jose.RS256), string(jose.RS384),
		string(jose.RS512), string(jose.PS256), string(jose.PS384), string(jose.PS512),
	}
}

func (r settingsReader) keys(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, keysKeys()...)
	r.Need(a, f, "dir")
	r.s.keys.dir, _ = r.Path(f["dir"])
	r.s.keys.alg = jose.Alg(r.OneOf(f["alg"], string(mint.DefaultAlg), algorithms()...))
}

func (r settingsReader) addresses(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, addressKeys()...)
	}
	w := &r.s.world
	w.geo, _ = r.Path(f["geoip_file"])
	w.names = r.Bool(f["reverse_dns"], true)
	if w.home, _ = r.Text(f["home_country"]); w.home != "" && !isCountry(w.home) {
		r.Fault(f["home_country"], "has to be a country as ISO 3166 has it: two capital letters")
	}
	if w.geo == "" {
		r.Note(a, "addresses.geoip_file is not set: no country is known, and mytokens for one country only are of no use "+
			"from the internet")
	}
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

const (
	defaultRetention = 30 * 24 * time.Hour
	defaultEvents    = 1000
	defaultSweep     = 10 * time.Minute
	maxRetention     = 10 * 365 * 24 * time.Hour
)

func (r settingsReader) retention(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, retentionKeys()...)
	}
	r.s.retention.ended = r.Duration(f["ended"], defaultRetention, time.Minute, maxRetention)
	r.s.retention.events = r.Int(f["events"], defaultEvents, 1, 1_000_000)
	r.s.retention.sweep = r.Duration(f["sweep"], defaultSweep, time.Second, 24*time.Hour)
}

// controlPath is where the control socket is: as configured, else beside the state.
func (s *settings) controlPath() string {
	switch {
	case s.control == controlOff:
		return ""
	case s.control != "":
		return s.control
	case s.state.File != "":
		return filepath.Join(filepath.Dir(s.state.File), "control.sock")
	}
	return ""
}

// faultsOf returns the single faults in err, nil when it is none of a configuration.
func faultsOf(err error) config.Faults {
	var faults config.Faults
	if errors.As(err, &faults) {
		return faults
	}
	return nil
}

func stateKeys() []string { return append(keep.Keys(), "escrow_file") }

func (r settingsReader) state(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, stateKeys()...)
	d := keep.Defaults{Schema: pgstore.DefaultSchema, Connections: pgstore.DefaultMaxConns}
	r.s.state.Place = keep.Read(r.Reader, a, f, d)
	r.s.state.escrow, _ = r.Path(f["escrow_file"])
}
