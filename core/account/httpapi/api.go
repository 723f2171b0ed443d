package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// ErrOptions is returned by New for options that make no interface.
var ErrOptions = errors.New("HTTP interface of the provisioner is not configured")

// Desk is what happens to accounts: *provision.Desk.
type Desk interface {
	Status(ctx context.Context, who provision.Subject) (provision.Answer, error)
	Deploy(ctx context.Context, who provision.Subject) (provision.Answer, error)
	Suspend(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Resume(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Verify(ctx context.Context, id, username string) (provision.Verdict, error)
	ByName(ctx context.Context, username string) (provision.Verdict, error)
}

// Issuer is one whose tokens count, and who of its people may do what.
type Issuer struct {
	URL       string   // as it is compared with iss, and as clients are shown it
	Scopes    []string // clients ask for them
	Audiences []string // our names, for its tokens; nil: not told, and not looked at for opaque tokens
	// Users may have an account, Admins may stop those of others. Both are asked without a request; nil is nobody.
	Users, Admins *policy.Policy
	// AdminsForAll lets its Admins stop people of other issuers as well.
	AdminsForAll bool

	// What clients are told about Users (/info/authorisation). The first that applies is told.
	Everybody bool     // all of its people
	VOs       []string // members of these
	VOMatch   string   // "one", "all" or a number; "": one
	Persons   bool     // people by name
}

// Docs are where pages about the interface are; "" for none.
type Docs struct{ Path, RedocPath string }

// Event is one decision, for the audit.
type Event struct {
	Kind   string // "login", "refused", "otp"
	ID     string // the identity, where it is known
	Name   string // the local user
	By     string // who asked, when it is somebody else
	Remote string // address
	State  string
	Reason string // one line, nothing secret in it
	Token  string // secret.Text.ID of an access token
	Form   string // of the secret, "" for none
}

// Options make an API. Gate, Desk, Book and Issuers are needed.
type Options struct {
	Gate    *gate.Gate // its service named like an issuer has the audiences of that issuer
	Desk    Desk
	Book    *otp.Book
	Issuers []Issuer // in the order in which clients are shown them
	// Claims say how a person is made of what issuers say.
	Claims provision.ClaimRules
	Login  provision.LoginInfo
	// HostKeys gives the host's public ssh keys, as authorized_keys has them; nil: none are told.
	HostKeys func() []string
	// NoGet refuses GET for what changes something; then clients of motley-cue do not work.
	NoGet bool
	// Version is the number in the third prefix, "" for "v1"; Release is that of the program.
	Version, Release string
	Docs             Docs
	// Privacy gives the text of the privacy statement, as Markdown, and Contact stands in it for {{privacy_contact}}.
	// fs.ErrNotExist: there is none. nil likewise.
	Privacy func() ([]byte, error)
	Contact string
	// Officer serves /admin/v1; nil: it is not there.
	Officer Officer
	// Work is told of a bulk job that is to be carried out (provision.Desk.Continue). It must not wait for its end. nil:
	// jobs are carried out by whoever looks for unfinished ones.
	Work func(job string)

	Limiter *Limiter // nil: guesses are limited, nothing else is
	Proxies Proxies
	Audit   func(context.Context, Event)
	// Seen is told of every request that was answered, for metrics. It must not block. nil: nobody is.
	Seen func(ctx context.Context, op string, status int, took time.Duration)
	Now  func() time.Time
	Log  *slog.Logger
}

// API is the provisioner's interface. It does not change, and starts nothing.
type API struct {
	o       Options
	issuers map[string]*Issuer
	service string // of the gate, for every token, when all issuers have the same audiences
	routes  map[string]*route
	info    []byte // what stands in /info before the host keys
	openAPI []byte
	queue   chan struct{} // of requests that wait for their turn with an issuer
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "v1"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limiter == nil {
		o.Limiter = NewLimiter(Rates{}, o.Now)
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, Event) {}
	}
	if o.Work == nil {
		o.Work = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// New makes an API. The error is ErrOptions.
func New(o Options) (*API, error) {
	if o.Gate == nil || o.Desk == nil || o.Book == nil || len(o.Issuers) == 0 {
		return nil, fmt.Errorf("%w: gate, desk, book or issuers are missing", ErrOptions)
	}
	o = o.withDefaults()
	a := &API{
		o: o, issuers: map[string]*Issuer{}, service: o.Issuers[0].URL, queue: make(chan struct{}, maxQueue),
	}
	for i := range o.Issuers {
		iss := &o.Issuers[i]
		if _, twice := a.issuers[iss.URL]; twice {
			return nil, fmt.Errorf("%w: issuer %s is there twice", ErrOptions, iss.URL)
		}
		a.issuers[iss.URL] = iss
		if !slices.Equal(iss.Audiences, o.Issuers[0].Audiences) {
			a.service = ""
		}
	}
	var err error
	if a.routes, err = a.table(); err != nil {
		return nil, err
	}
	if a.openAPI, err = a.describe(); err != nil {
		return nil, fmt.Errorf("describe the interface: %w", err)
	}
	if a.info, err = a.makeInfo(); err != nil {
		return nil, fmt.Errorf("make the answer of /info: %w", err)
	}
	return a, nil
}

// Handler serves the whole interface; every other path is 404.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }
