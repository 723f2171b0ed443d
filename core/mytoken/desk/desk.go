package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/profiles"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/transport/limit"
)

// Minter makes mytokens; *mint.Minter is one.
type Minter interface {
	Issue(o mint.Order) (secret.Text, mytoken.Claims, error)
}

// Features are what is switched on. What is off is refused as if it were not known.
type Features struct {
	Polling   bool // logins of programs, which poll
	Web       bool // logins of web pages
	Device    bool // logins with a device code
	Subtokens bool // mytokens from mytokens
	Transfer  bool // transfer codes
	Short     bool // short tokens
	// Unsupported are the keys of clauses that the server does not look at: clauses with them are refused.
	Unsupported []string
	// Trusted reports whether a web page may log people in without the consent page: its redirect_uri. nil: none may. Such
	// a page of another site has to see to it by itself that the browser that comes back is the one that it sent away.
	Trusted func(redirectURI string) bool
}

// Limits bound requests. Zero values are the defaults that stand beside them.
type Limits struct {
	Login       time.Duration // between Begin and the end of a login: 5 min
	Interval    time.Duration // between polls: 5 s; 1 to 15 s
	PollingLen  int           // characters of polling codes: 32
	TransferLen int           // of transfer codes: 12
	Transfer    time.Duration // life of a transfer code: 5 min
	ShortLen    int           // of short tokens: 64
	Request     int           // bytes of a request: 64 KiB
	Clauses     int           // of a mytoken: 16; not above ledger.MaxClauses
	Name        int           // characters of names, comments and the like: 256
	Items       int           // in one list of a clause, and capabilities: 128
	Replay      time.Duration // after a code was good once: 20 s
	Work        time.Duration // for finishing what a client does not wait for: 2 min
}

// Options make a Desk. Issuer, Ledger, Minter and Upstream are needed.
type Options struct {
	Issuer   string // of the server: iss and aud of its mytokens, and where its pages are
	Ledger   *ledger.Ledger
	Minter   Minter
	Upstream Upstream
	World    rules.World
	Features Features
	// Templates finds what requests name by name. nil: profiles.LookupShipped.
	Templates profiles.Lookup
	Limits    Limits
	// DPoP checks proofs. nil: no mytoken is bound to a key, and none that is can be used.
	DPoP *dpop.Checker
	// Allow is asked whether a person may make one more request, when a mytoken was found authentic and before anything is
	// done with it; retry is when the next one may come. nil: all may.
	Allow func(user, momID string) (retry time.Duration, ok bool)
	// Notify is told what a person may want to hear of, after it is durable. It must not block. nil: nobody is.
	Notify func(ctx context.Context, n Notice)
	// Audit is told of everything that was decided. It must not block. nil: nobody is.
	Audit func(ctx context.Context, e AuditEvent)
	Now   func() time.Time
	Log   *slog.Logger
}

// Notice is something that a person may want to hear of.
type Notice struct {
	User    string // of the ledger
	MOMID   string
	Name    string // of the mytoken, a text of the person
	Class   string // one of the Class constants
	Event   string // of the history, "" for what is not in it
	Comment string
	From    Origin
	At      time.Time
	Expires time.Time // of the mytoken, zero: never
	// Only with ClassCreated: what the request wants to become of the mytoken, and what the provider says of the
	// person's mail.
	Wishes        *Wishes
	Email         string
	EmailVerified bool
	Parent        string // mom_id of the mytoken it was made from, "" for one from a login
}

// Classes of notices, as people subscribe to them.
const (
	ClassAccess       = "AT_creations"
	ClassSubtoken     = "subtoken_creations"
	ClassSettings     = "setting_changes"
	ClassIPs          = "security:ips"
	ClassRevoked      = "security:revoked"
	ClassCapabilities = "security:blocked_usages:capabilities"
	ClassRestrictions = "security:blocked_usages:restrictions"
	ClassExpiration   = "expiration"
	// ClassCreated is of the server alone, and nobody subscribes to it: a mytoken has come to be. What is done at that
	// moment (subscriptions that the request asked for, the schedule of its end) hangs on it.
	ClassCreated = "created"
	// ClassRefresh is [0.12]'s rt_failure: the provider refused the login behind a mytoken.
	ClassRefresh = "rt_failure"
)

// AuditEvent is a decision, for the log that an administrator keeps. No secret is in it.
type AuditEvent struct {
	Action   string // "begin", "land", "poll", "access", "subtoken", "transfer", "redeem", ...
	Outcome  string // "ok", or the code of the refusal
	Reason   string // of a refusal; it may repeat texts of strangers
	User     string
	MOMID    string
	Provider string
	From     Origin
	At       time.Time
}

// Desk does what is asked of a mytoken server. Its methods are safe for concurrent use.
type Desk struct {
	o    Options
	seen *addresses
	// looked are the introspections that stand in histories.
	looked *limit.Limiter
}

// New returns a desk. It asks nobody anything. The error is ErrOptions.
func New(o Options) (*Desk, error) {
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%w: issuer is no URL", ErrOptions)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: issuer is not https", ErrOptions)
	case o.Ledger == nil || o.Minter == nil || o.Upstream == nil:
		return nil, fmt.Errorf("%w: no ledger, minter or providers", ErrOptions)
	}
	if err := o.Limits.settle(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if o.Templates == nil {
		o.Templates = profiles.LookupShipped
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	looked := limit.New(limit.Options{Events: 1, Per: lookedFor, Now: o.Now})
	return &Desk{o: o, seen: newAddresses(), looked: looked}, nil
}

// settle puts defaults in and checks what can be wrong.
func (l *Limits) settle() error {
	for _, d := range []struct {
		to      *time.Duration
		without time.Duration
	}{
		{&l.Login, 5 * time.Minute},
		{&l.Interval, 5 * time.Second},
		{&l.Transfer, 5 * time.Minute},
		{&l.Replay, 20 * time.Second},
		{&l.Work, 2 * time.Minute},
	} {
		if *d.to == 0 {
			*d.to = d.without
		}
		if *d.to < 0 {
			return errors.New("a time is negative")
		}
	}
	for _, n := range []struct {
		to      *int
		without int
	}{
		{&l.PollingLen, 32},
		{&l.TransferLen, 12},
		{&l.ShortLen, 64},
		{&l.Request, 64 << 10},
		{&l.Clauses, 16},
		{&l.Name, 256},
		{&l.Items, 128},
	} {
		if *n.to == 0 {
			*n.to = n.without
		}
	}
	return l.check()
}

func (l *Limits) check() error {
	switch {
	case l.Interval < time.Second || l.Interval > 15*time.Second:
		return errors.New("the interval of polls is not between 1 and 15 s")
	case l.PollingLen < minCode || l.TransferLen < minCode || l.TransferLen >= minToken || l.ShortLen < minToken:
		return errors.New("codes are too short, or transfer codes as long as short tokens")
	case l.Request < 1<<10 || l.Clauses < 1 || l.Clauses > ledger.MaxClauses || l.Name < 1 || l.Items < 1:
		return errors.New("a limit of requests is out of range")
	}
	return nil
}

const (
	// minCode is the shortest code that is made.
	minCode = 8
	// minToken is the length from which a text can be a mytoken; what is shorter is a transfer code.
	minToken = 32
)

// Issuer returns the issuer of the server, as it is configured.
func (d *Desk) Issuer() string { return d.o.Issuer }

// Providers returns what is known of the providers.
func (d *Desk) Providers() []ProviderInfo { return d.o.Upstream.Providers() }

// page returns the URL of a path of the server.
func (d *Desk) page(path string) string { return strings.TrimSuffix(d.o.Issuer, "/") + path }

// redirectURI is where providers send browsers back to.
func (d *Desk) redirectURI() string { return d.page("/redirect") }

func (d *Desk) now() time.Time { return d.o.Now().Round(0) }
