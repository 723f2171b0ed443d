package issuer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
)

// AnyAudience is the audience of a token that names no other: every relying party of the WLCG profile (section 3.2).
const AnyAudience = claims.AnyWLCG

// Rotation says what becomes of a refresh token that was used.
type Rotation string

const (
	// Strict replaces it; presenting it again revokes the whole family (RFC 9700 section 4.14.2).
	Strict Rotation = "strict"
	// Grace replaces it, and takes it again for [Options.GraceWindow]: the answer then is another member of the same
	// family. After the window it is Strict.
	Grace Rotation = "grace"
	// Off keeps it; the answer to a refresh holds no refresh token.
	Off Rotation = "off"
)

// Options makes an issuer. Only URL and Engine are needed.
type Options struct {
	// URL is the issuer, byte for byte as it appears in iss. A path and a trailing slash are kept.
	URL string
	// Engine keeps the state. The caller closes it.
	Engine store.Engine

	Users   []User   // nil: SampleUsers
	Clients []Client // nil: SampleClients
	// AutoLogin is the user who signs in and agrees without a page being shown, unless the request has a login_hint
	// that names another. Empty: pages are shown.
	AutoLogin string

	Rotation    Rotation      // "": Strict; a client may have another
	GraceWindow time.Duration // 0: 30 s
	AccessTTL   time.Duration // 0: 1 h
	RefreshTTL  time.Duration // 0: 24 h, counted from the login
	CodeTTL     time.Duration // 0: 1 min
	DeviceTTL   time.Duration // 0: 10 min
	// DeviceInterval is the time between polls that a device is told. 0: 5 s.
	DeviceInterval time.Duration

	Alg jose.Alg // "": RS256
	// Audience is that of a token when the request names none. Empty: AnyAudience.
	Audience string
	// Policy lists what token exchange may give beyond narrowing. nil: SamplePolicy; empty: nothing.
	Policy []ExchangeRule
	// Ties lists scopes that only members of a group get. nil: SampleTies; empty: none.
	Ties []Tie
	// Scopes are names beyond those known (see scopes.go), for example "condor:/READ".
	Scopes []string

	// TestControls serves /_test/ (faults, request log, key rotation) and keeps the log.
	TestControls bool

	Now func() time.Time // nil: time.Now. It may run ahead of the clock of Engine, not behind it.
	Log *slog.Logger     // nil: nothing is logged
}

// Tie leaves a scope out of what a user gets who is not in the group.
type Tie struct {
	Scope string // a name, or a prefix that ends in "*": "compute.*"
	Group string // "/wlcg/pilots"
}

// SampleTies ties compute scopes to the pilot group.
func SampleTies() []Tie { return []Tie{{Scope: "compute.*", Group: "/wlcg/pilots"}} }

func (o Options) withDefaults() Options {
	if o.Users == nil {
		o.Users = SampleUsers()
	}
	if o.Clients == nil {
		o.Clients = SampleClients()
	}
	if o.Policy == nil {
		o.Policy = SamplePolicy()
	}
	if o.Ties == nil {
		o.Ties = SampleTies()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Rotation = orDefault(o.Rotation, Strict)
	o.Alg = orDefault(o.Alg, jose.RS256)
	o.Audience = orDefault(o.Audience, AnyAudience)
	o.GraceWindow = orDefault(o.GraceWindow, 30*time.Second)
	o.AccessTTL = orDefault(o.AccessTTL, time.Hour)
	o.RefreshTTL = orDefault(o.RefreshTTL, 24*time.Hour)
	o.CodeTTL = orDefault(o.CodeTTL, time.Minute)
	o.DeviceTTL = orDefault(o.DeviceTTL, 10*time.Minute)
	o.DeviceInterval = orDefault(o.DeviceInterval, 5*time.Second)
	return o
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// check returns every fault of o at once.
func (o Options) check() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, err := parseIssuer(o.URL); err != nil {
		faults = append(faults, err)
	}
	if o.Engine == nil {
		add("issuer has no store")
	}
	if !o.Rotation.valid() {
		add("rotation %q is not strict, grace or off", o.Rotation)
	}
	for _, d := range []time.Duration{o.GraceWindow, o.AccessTTL, o.RefreshTTL, o.CodeTTL, o.DeviceTTL, o.DeviceInterval} {
		if d < 0 {
			add("a lifetime is negative: %s", d)
		}
	}
	faults = append(faults, o.checkUsers())
	ids := map[string]bool{}
	for _, c := range o.Clients {
		if ids[c.ID] {
			add("client %q is listed twice", c.ID)
		}
		ids[c.ID] = true
		if err := c.check(); err != nil {
			faults = append(faults, err)
		}
	}
	for n, r := range o.Policy {
		if err := r.check(); err != nil {
			add("row %d of the exchange policy: %w", n+1, err)
		}
	}
	return errors.Join(faults...)
}

func (o Options) checkUsers() error {
	names := map[string]bool{}
	for _, u := range o.Users {
		if u.Name == "" || u.Subject == "" || names[u.Name] {
			return fmt.Errorf("user %q is named twice, or lacks a name or subject", u.Name)
		}
		names[u.Name] = true
	}
	if o.AutoLogin != "" && !names[o.AutoLogin] {
		return fmt.Errorf("there is no user %q to sign in", o.AutoLogin)
	}
	return nil
}

func (r Rotation) valid() bool { return r == Strict || r == Grace || r == Off }

// parseIssuer accepts what OpenID Connect Discovery section 3 allows as an issuer, and http for development.
func parseIssuer(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("issuer is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("issuer %s is not an http or https URL with a host", u.Redacted())
	}
	if strings.ContainsAny(s, "?#") {
		return nil, fmt.Errorf("issuer %s has a query or fragment", u.Redacted())
	}
	return u, nil
}
