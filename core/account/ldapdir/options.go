package ldapdir

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Mode is how much of the directory is ours.
type Mode string

// The modes. The zero value is ReadOnly.
const (
	ReadOnly   Mode = "read_only"   // accounts are looked up, and nothing is written
	PreCreated Mode = "pre_created" // somebody else makes the entries; the identity is written into one that has none
	FullAccess Mode = "full_access" // accounts and groups are made here
)

// Method is how an entry says that nobody may log in.
type Method string

// The methods. The zero value takes ShadowExpire where the directory's schema has it, and else NoMethod.
const (
	ShadowExpire Method = "shadowExpire"         // shadowAccount of RFC 2307: pam_unix refuses in the account phase
	LockedTime   Method = "pwdAccountLockedTime" // password policy: refuses binds at the directory, nothing else
	Attribute    Method = "attribute"            // Suspension.Name has Suspension.Value
	NoMethod     Method = "none"                 // the provisioner's ledger alone knows
)

// Suspension says how an entry is suspended.
type Suspension struct {
	Method      Method
	Name, Value string // for Attribute
}

// Login is an account of a person in the directory, for tests.
type Login struct {
	DN       string
	Password secret.Text
}

// Options are what New needs.
type Options struct {
	// Servers are ldap://, ldaps:// and ldapi:// addresses. All changes go to the first.
	Servers []string
	// StartTLS asks for encryption where it could be done without as well: ldap:// to this very host. To any other host
	// ldap:// is always encrypted by StartTLS.
	StartTLS bool
	CAFile   string // PEM; "": the system's
	// BindDN and Password are who we are. Without both: EXTERNAL (the process's own uid) over ldapi://, else anonymous.
	BindDN   string
	Password secret.Text
	Timeout  time.Duration // of one question; 0: 5 s

	Mode                Mode
	UserBase, GroupBase string
	RecordBase          string // container of the records; "": ou=oidcbox below UserBase
	Filter              string // further condition on users, as a filter with its brackets
	IDAttribute         string // "": gecos
	NameAttribute       string // "": uid
	KeyAttribute        string // for ssh public keys, as sshPublicKey; "": none are written
	KeyClass            string // auxiliary class for it; "": ldapPublicKey

	Shells   map[backend.Tier]string // of Full: "" is /bin/sh; of the others: nologin
	HomeBase string                  // "": /home
	Limits   names.Limits
	// FixedGroups are primary groups that hosts have and the directory has not, with their gid.
	FixedGroups map[string]uint32
	Suspension  Suspension

	// NotEditable is the administrator's word that users cannot change IDAttribute in their entry.
	NotEditable bool
	// Probe is somebody with the rights of any user: with it Trust asks the directory itself.
	Probe *Login

	// End ends what runs for an account, on the hosts that whoever hands it in knows. It may be nil.
	End func(ctx context.Context, a backend.Account) error
	// Taken asks further sources (NSS) whether a name is taken. It may be nil.
	Taken func(ctx context.Context, name string) (bool, error)
	Now   func() time.Time
	Log   *slog.Logger
}

const (
	defaultTimeout = 5 * time.Second
	nologin        = "/usr/sbin/nologin"
)

// complete returns o with its defaults, or what is wrong with it.
func (o Options) complete() (Options, error) {
	o.Mode = cmp.Or(o.Mode, ReadOnly)
	o.IDAttribute, o.NameAttribute = cmp.Or(o.IDAttribute, "gecos"), cmp.Or(o.NameAttribute, "uid")
	o.KeyClass, o.HomeBase = cmp.Or(o.KeyClass, "ldapPublicKey"), cmp.Or(o.HomeBase, "/home")
	o.RecordBase = cmp.Or(o.RecordBase, "ou=oidcbox,"+o.UserBase)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(o.faults()...)
}

func (o Options) faults() []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...))
	}
	if len(o.Servers) == 0 {
		bad("no server")
	}
	for _, base := range []string{o.UserBase, o.GroupBase, o.RecordBase} {
		if dn, err := ldap.ParseDN(base); err != nil || len(dn.RDNs) == 0 {
			bad("%q is not the name of an entry", base)
		}
	}
	for _, a := range []string{o.IDAttribute, o.NameAttribute, o.KeyAttribute, o.Suspension.Name} {
		if a != "" && !isDescriptor(a) {
			bad("%q is not the name of an attribute", a)
		}
	}
	if o.Filter != "" {
		if _, err := ldap.CompileFilter(o.Filter); err != nil {
			bad("%q is not a filter", o.Filter)
		}
	}
	if (o.BindDN == "") != o.Password.Empty() {
		bad("a name to bind with and a password belong together")
	}
	switch o.Mode {
	case ReadOnly, PreCreated, FullAccess:
	default:
		bad("mode %q is none of read_only, pre_created, full_access", o.Mode)
	}
	switch o.Suspension.Method {
	case "", ShadowExpire, LockedTime, NoMethod:
	case Attribute:
		if o.Suspension.Name == "" || o.Suspension.Value == "" {
			bad("suspension by an attribute needs its name and value")
		}
	default:
		bad("suspension %q is not known", o.Suspension.Method)
	}
	return errs
}

// isDescriptor reports whether s is the short name of an attribute or class (RFC 4512 1.4), or a number of dots.
func isDescriptor(s string) bool {
	ok, err := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$`, s)
	return ok && err == nil
}

// server is where a directory listens.
type server struct {
	text, network, addr string
	host                string // whose certificate it has to be
	ldaps, startTLS     bool
	local               bool // ldapi
}

// parseServer reads the address of a server.
func parseServer(raw string, always bool) (server, error) {
	if path, ok := strings.CutPrefix(raw, "ldapi://"); ok {
		path, err := url.PathUnescape(path)
		if path == "" || path == "/" {
			path = "/run/slapd/ldapi"
		}
		if err != nil || !strings.HasPrefix(path, "/") {
			return server{}, fmt.Errorf("%w: %q is not the address of a socket", ErrOptions, short(raw))
		}
		return server{text: raw, network: "unix", addr: path, local: true}, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return server{}, fmt.Errorf("%w: %q is not the address of a server", ErrOptions, short(raw))
	}
	port := map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	if port == "" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return server{}, fmt.Errorf("%w: %q is not ldap://, ldaps:// or ldapi://", ErrOptions, short(raw))
	}
	s := server{
		text: raw, network: "tcp", addr: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)),
		host: u.Hostname(), ldaps: u.Scheme == "ldaps",
	}
	s.startTLS = !s.ldaps && (always || !loopback(s.host))
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// roots are the certificates of caFile, nil for those of the system.
func roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil //nolint:nilnil // what crypto/tls takes for "the system's"
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read certificates for the directory: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: no certificate in %s", ErrOptions, caFile)
	}
	return pool, nil
}

func (s server) tls(pool *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: s.host}
}
