package provisioner

import (
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

// Where things are unless a configuration says otherwise.
const (
	defaultLogin   = "/run/oidcbox/login.sock"
	defaultControl = "/run/oidcbox/control.sock"
	defaultWorker  = "/run/oidcbox-worker/worker.sock"
	defaultSchema  = "oidcbox_provisioner"
	defaultGrace   = 10 * time.Second
	defaultConns   = 1024

	word = "off" // where a path could stand
)

// settings are the configuration of the server, read and checked as far as that is possible without starting anything.
type settings struct {
	file string // its name

	listen  []listen.Place
	proxies httpapi.Proxies
	url     string // "": none was given
	owner   operator
	login   string // sockets; "": there is none
	control string
	worker  workerPlace
	backend string
	relays  relaysPlace
	caFile  string

	state keep.Place

	issuers   []issuer
	audiences []string
	keysDir   string
	lifetimes provider.Lifetimes

	rules  provision.Rules
	source nameSource
	claims provision.ClaimRules

	info      provision.LoginInfo
	hostKeys  []string // files; nil: none are told
	passwords otp.Options
	pages     pagesPlace
	approval  approvalPlace
	mail      mailPlace
	api       apiPlace
	audit     string
	metrics   string
	conns     int
	grace     time.Duration
	rates     httpapi.Rates

	notes []config.Fault
}

type operator struct{ name, contact string }

// workerPlace is where accounts are made, and by whom.
type workerPlace struct{ socket, user string }

// relaysPlace is where relays ask; listen "" for none.
type relaysPlace struct {
	listen              string
	cert, key, clientCA string
	names               []string
}

type apiPlace struct {
	noGet         bool
	version       string
	docs          httpapi.Docs
	privacy, mail string
}

type pagesPlace struct {
	on      bool
	session time.Duration
}

type approvalPlace struct {
	admins    []mail.Address
	templates string
	linkLife  time.Duration
}

type mailPlace struct {
	mail.Config
	open bool
}

// issuer is one that is trusted, with all that is said of it.
type issuer struct {
	gate.Issuer
	told  httpapi.Issuer
	rules provision.IssuerRules
	own   bool // rules are its own
	at    config.At
	login *loginClient
}

// loginClient is what we are at an issuer, for the pages.
type loginClient struct {
	name, id, secretFile, audience string
	resource                       bool // the audience is asked for as RFC 8707 has it
	scopes                         []string
}

// The keys of each mapping. A test holds that the example has them all.
func topKeys() []string {
	return []string{
		"version", "listen", "proxies", "url", "operator", "login", "control", "worker", "worker_user", "backend", "relays",
		"ca_file", "state", "audiences", "issuers", "keys", "accounts", "names", "groups", "claims", "login_info",
		"ssh_host_keys", "passwords", "pages", "approval", "mail", "api", "privacy", "audit", "metrics", "limits",
	}
}

func operatorKeys() []string { return []string{"name", "contact"} }
func relaysKeys() []string {
	return []string{"listen", "cert_file", "key_file", "client_ca_file", "names"}
}
func keysKeys() []string      { return []string{"dir", "lifetimes"} }
func infoKeys() []string      { return []string{"description", "login_help", "ssh_host"} }
func passwordsKeys() []string { return []string{"on", "life", "compatible", "compatible_life", "kept"} }
func pagesKeys() []string     { return []string{"on", "session"} }
func approvalKeys() []string  { return []string{"admins", "templates_dir", "link_life"} }
func apiKeys() []string       { return []string{"changes_by_get", "version", "docs", "redoc"} }
func privacyKeys() []string   { return []string{"file", "contact"} }
func limitsKeys() []string {
	return []string{"connections", "grace", "requests", "guesses", "changes", "exempt"}
}
func rateKeys() []string { return []string{"count", "per"} }

// backends are the words for account systems.
func backends() []string {
	return []string{localUnix, ldapBackend, regappBackend, execBackend, dryrunBackend}
}

const (
	localUnix     = "local_unix"
	ldapBackend   = "ldap"
	regappBackend = "regapp"
	execBackend   = "exec"
	dryrunBackend = "dryrun"
)

// reader is a config.Reader for the keys of the server.
type reader struct {
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
	// Who can change it decides who has an account here.
	if info, err := os.Stat(name); err == nil && changeable(info) {
		s.notes = append(s.notes, openFile(name, info))
	}
	return s, nil
}

func changeable(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }

func openFile(name string, info fs.FileInfo) config.Fault {
	return config.Fault{File: name, Text: fmt.Sprintf("can be changed by everybody (mode %04o)", info.Mode().Perm())}
}

func parseSettings(name string, b []byte) (*settings, error) {
	r := reader{config.NewReader(name), &settings{file: name}}
	if top := r.Document(b); top.Present() {
		r.top(top)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	r.s.notes = r.Notes()
	return r.s, nil
}

func (r reader) top(top config.At) {
	f := r.Fields(top, topKeys()...)
	r.Version(top, f, 1)
	r.Need(top, f, "listen", "state", "issuers", "accounts", "login_info")
	r.places(f)
	if a := f["state"]; a.Present() {
		s := r.Fields(a, keep.Keys()...)
		r.s.state = keep.Read(r.Reader, a, s, keep.Defaults{Schema: defaultSchema, Connections: pgstore.DefaultMaxConns})
	}
	r.keys(f["keys"])
	r.s.audiences = r.audiences(f["audiences"])
	r.accounts(f["accounts"])
	r.issuers(f["issuers"])
	r.names(f["names"])
	r.groups(f["groups"])
	r.claimRules(f["claims"])
	r.info(f["login_info"])
	r.keysOfHost(f["ssh_host_keys"])
	r.passwords(f["passwords"])
	r.pages(f["pages"])
	r.approval(f["approval"])
	r.s.mail = mailPlace{mail.Read(r.Reader, f["mail"]), f["mail"].Present()}
	r.api(f["api"], f["privacy"])
	r.s.audit = r.auditPlace(f["audit"])
	r.s.metrics = listen.Address(r.Reader, f["metrics"])
	r.limits(f["limits"])
	r.whole(top, f)
}

// places reads where the server answers, and whom it asks.
func (r reader) places(f config.Fields) {
	s := r.s
	s.listen = listen.Read(r.Reader, f["listen"], r.reachable)
	if f["proxies"].Present() {
		s.proxies.Prefixes, s.proxies.Unix = listen.Networks(r.Reader, f["proxies"], "unix")
	}
	r.address(f["url"])
	if a := f["operator"]; a.Present() {
		o := r.Fields(a, operatorKeys()...)
		r.Need(a, o, operatorKeys()...)
		s.owner.name, _ = r.Text(o["name"])
		s.owner.contact, _ = r.Text(o["contact"])
	}
	s.login = r.socket(f["login"], defaultLogin)
	s.control = r.socket(f["control"], defaultControl)
	if s.worker.socket = r.socket(f["worker"], defaultWorker); s.worker.socket == "" {
		r.Fault(f["worker"], "without a worker there are no accounts")
	}
	s.worker.user, _ = r.Text(f["worker_user"])
	s.backend = r.OneOf(f["backend"], localUnix, backends()...)
	s.caFile, _ = r.Path(f["ca_file"])
	r.relays(f["relays"])
}

// socket reads the path of a socket; "" where it is off.
func (r reader) socket(a config.At, fallback string) string {
	if !a.Present() {
		return fallback
	}
	if a.Raw() == word {
		return ""
	}
	path, _ := r.Path(a)
	return path
}

// address is https but on this machine: who sees the traffic would see tokens and passwords.
func (r reader) address(a config.At) {
	s, ok := r.URL(a, "https", "http")
	if !ok {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.RawQuery != "" || u.ForceQuery:
		r.Fault(a, "has to be a plain URL without query")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		r.Fault(a, "has to be https: tokens and passwords are sent there (http is for localhost and loopback addresses)")
	}
	r.s.url = strings.TrimSuffix(s, "/")
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (r reader) reachable(a config.At, p listen.Place) {
	if p.Reachable() && p.Cert == "" {
		r.Note(a, "access tokens come over the network in the clear: add tls, or put it behind something that has it")
	}
}

func (r reader) relays(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, relaysKeys()...)
	r.Need(a, f, relaysKeys()...)
	p := &r.s.relays
	p.listen = listen.Address(r.Reader, f["listen"])
	p.cert, _ = r.Path(f["cert_file"])
	p.key, _ = r.Path(f["key_file"])
	p.clientCA, _ = r.Path(f["client_ca_file"])
	p.names = r.Texts(f["names"])
}

func (r reader) keys(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, keysKeys()...)
	}
	r.s.keysDir, _ = r.Path(f["dir"])
	r.s.lifetimes = issuers.Lifetimes(r.Reader, f["lifetimes"])
}

func (r reader) audiences(a config.At) []string {
	list := r.Texts(a)
	for _, aud := range list {
		if aud == claims.AnyWLCG || aud == claims.AnySciTokens {
			r.Note(a, "%s takes tokens for everybody: whoever got one elsewhere can log in with it here", aud)
		}
	}
	return list
}

func (r reader) auditPlace(a config.At) string {
	to := r.TextOr(a, "stdout")
	if !slices.Contains(audit.Streams(), to) {
		to, _ = r.Path(a)
	}
	return to
}

// whole judges what only shows when all is read.
func (r reader) whole(top config.At, f config.Fields) {
	s := r.s
	logins := slices.ContainsFunc(s.issuers, func(i issuer) bool { return i.login != nil })
	links := s.asksAnybody()
	switch {
	case (s.pages.on && logins || s.approval.admins != nil) && s.url == "":
		r.Fault(top, "url is missing: pages and the links in mails stand below it")
	case f["pages"].Present() && s.pages.on && !logins:
		r.Note(f["pages"], "no issuer has login: nobody can use the pages")
	}
	if s.approval.admins != nil && !s.mail.open {
		r.Fault(f["approval"], "mail is missing: nobody would be told of requests")
	}
	if links && s.approval.admins == nil {
		r.Note(top, "requests wait for an administrator, and nobody is told (approval: admins): look with "+
			"oidcbox provisioner admin pending")
	}
	if i := slices.IndexFunc(s.issuers, func(i issuer) bool { return i.rules.Groups == nil }); len(s.issuers) > 1 && i >= 0 {
		r.Note(s.issuers[i].at, "its claims count for the same groups as those of the other issuers: it can put its people into "+
			"groups that another one's VO has (groups: of each issuer)")
	}
	if s.backend == localUnix && (s.state.File == "" || s.relays.listen != "") {
		r.Note(f["backend"], "LOCAL ACCOUNTS ON MORE THAN ONE NODE: each node counts numbers of its own, so one person has "+
			"another uid on each, and files on a shared file system belong to somebody else; take backend: ldap for a cluster")
	}
	if r.Err() == nil {
		r.makeGate(top)
	}
}

// asksAnybody reports whether an administrator decides about anything.
func (s *settings) asksAnybody() bool {
	return s.rules.Default.Approval || slices.ContainsFunc(s.issuers, func(i issuer) bool { return i.own && i.rules.Approval })
}
