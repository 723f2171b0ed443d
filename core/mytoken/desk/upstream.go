package desk

import (
	"context"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Upstream knows the providers. A registry of core/mytoken/upstream is one.
type Upstream interface {
	// Provider finds a provider by its issuer; one slash at the end does not matter. Also one that is down is found.
	Provider(issuer string) (Provider, bool)
	// Providers lists all, in the order of the configuration.
	Providers() []ProviderInfo
}

// ProviderInfo is what is known of a provider without asking it.
type ProviderInfo struct {
	Issuer string // as configured: the oidc_iss of the mytokens
	Name   string
	Scopes []string // what a login asks for where no clause says otherwise; without those of the protocol
	// ResourceOnly says that it takes audiences as resource only (RFC 8707).
	ResourceOnly bool
	// Accepts says whether the provider can be held to settled restrictions, before anybody logs in; nil: to all. The
	// error is a *rules.ClausesError.
	Accepts func(mytoken.Restrictions) error
	// MaxLifetime bounds mytokens from a login there; 0: no bound.
	MaxLifetime time.Duration
	Device      bool   // it offers logins with a device code
	Down        bool   // its metadata could not be read so far
	Guest       bool   // it lets everybody in
	Help        string // of enforced restrictions: a text for people who have no attributes
}

// Provider is one provider. Its methods do not call the ledger, and are bounded in time by their context.
//
// Errors are what core/oidc/flow says (a *flow.Error for what the provider answered), the sentinels of this package,
// and what a registry adds; nothing in them is a secret.
type Provider interface {
	Info() ProviderInfo
	// Accepts fails with a *rules.ClausesError where the provider could not be held to settled restrictions: nobody has to
	// log in to find that out.
	Accepts(rs mytoken.Restrictions) error
	// Start returns the URL a browser is sent to. It may push the request to the provider (RFC 9126).
	Start(ctx context.Context, s Start) (url string, err error)
	// Finish takes the redirect that follows from Start, in whatever process.
	Finish(ctx context.Context, f Finish) (Authenticated, error)
	// StartDevice begins a login with a device code (RFC 8628 section 3.1), PollDevice asks once how it went: ErrPending,
	// ErrSlowDown, or the end.
	StartDevice(ctx context.Context, s Start) (Device, error)
	PollDevice(ctx context.Context, d Device, from Origin) (Authenticated, error)
	// Ask returns what to send with a refresh for an access token that is to be as c says. It fails, with nothing sent,
	// where that cannot be asked for.
	Ask(c rules.Candidate) (flow.Request, error)
	// Refresh is custody.Refresher.
	custody.Refresher
	// Check compares what came back with what was asked for, and returns it. It fails with a *rules.WithheldError or a
	// *rules.ExcessError; scopes and audiences that this provider always adds are none.
	Check(c rules.Candidate, t flow.Tokens) (rules.Granted, error)
	// Revoke ends a refresh token at the provider. It returns flow.ErrNoEndpoint where that cannot be done.
	Revoke(ctx context.Context, rt secret.Text) error
}

// Start is a login that begins.
type Start struct {
	// RedirectURI, State, Nonce and Verifier belong to a browser: the desk draws them, and hands the same to Finish. They
	// are empty for a device.
	RedirectURI string
	State       secret.Text
	Nonce       secret.Text
	Verifier    secret.Text // of PKCE: S256 (RFC 7636)
	// Scopes and Audience are the union of what the clauses of the mytoken name; no scope: those of ProviderInfo. The
	// provider adds its own (openid, offline_access).
	Scopes   []string
	Audience []string
	From     Origin
}

// Finish is the redirect of a login.
type Finish struct {
	Query       url.Values // state was looked at already; iss was not (RFC 9207)
	RedirectURI string
	State       secret.Text
	Nonce       secret.Text
	Verifier    secret.Text
	Scopes      []string // as in Start
	Audience    []string
	From        Origin
}

// Authenticated is a login that took place.
type Authenticated struct {
	Refresh  secret.Text // the caller wipes it
	Subject  string      // of the person at the provider
	Email    string
	Verified bool      // the provider says that Email is the person's
	AuthTime time.Time // zero: now
	// Granted is what the login gave, for rules.Cut. Scopes nil: the answer names none. Audience nil: the access token is
	// opaque, or a login without an audience was asked for.
	Granted rules.Granted
	// Template names the restrictions that are enforced for this person, "" for none.
	Template string
	Habit    custody.Habit
}

// Device is a device code that waits for a person.
type Device struct {
	Code secret.Text // the caller wipes it
	DeviceInfo
	Expires  time.Time
	Interval time.Duration
	// Scopes and Audience are those of Start.
	Scopes   []string
	Audience []string
}
