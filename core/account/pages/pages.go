package pages

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/limit"
	"github.com/oidcbox/oidcbox/store"
)

// Judge says whose an access token is, if that person may use the service. *httpapi.API is one.
type Judge interface {
	Judge(ctx context.Context, at secret.Text) (provision.Subject, error)
}

// Desk is what a person may do with their account. *provision.Desk is one.
type Desk interface {
	Status(ctx context.Context, s provision.Subject) (provision.Answer, error)
	Deploy(ctx context.Context, s provision.Subject) (provision.Answer, error)
}

// Passwords makes one-time passwords. *otp.Book is one.
type Passwords interface {
	Issue(ctx context.Context, id, name string) (otp.Password, error)
}

// Office shows and decides what a link in a mail is about. *approval.Office is one.
type Office interface {
	Look(ctx context.Context, link string) (approval.Asked, error)
	Decide(ctx context.Context, link string, accept bool, from netip.Addr) (approval.Asked, error)
}

// Provider is one at which people log in.
type Provider struct {
	Issuer   string
	Name     string // that people know it by; "": its host
	Scope    []string
	Audience []string // that access tokens are asked for
	// Client returns the client to log in with. It may have to find the provider's endpoints first.
	Client func(ctx context.Context) (*flow.Client, error)
}

// Operator is who runs the service: what people are told of it. Empty texts are left out.
type Operator struct {
	Name, Homepage string
	Contact        string // a mail address
	Privacy        string // URL of the privacy policy
}

// Kinds of Event.
const (
	EventLogin    = "web_login" // somebody has logged in, and may use the service
	EventPassword = "otp"       // a one-time password was shown
	EventRefused  = "refused"   // somebody has logged in at the provider, and may not
)

// Event is something for the audit.
type Event struct {
	Event           string
	ID              string // the identity as names.Encode writes it, "" where it was not believed
	Name            string // local
	Subject, Issuer string
	Reason          string
	Remote          netip.Addr
}

// Options of New. URL, Host, Judge, Desk, Passwords and Engine are needed.
type Options struct {
	// URL is where people find the pages, such as https://login.example.org/login: its path is the base of all of them.
	URL string
	// Host is the machine that people log in to by ssh, as they call it.
	Host      string
	HostKeys  []string // fingerprints of its keys as ssh shows them
	Operator  Operator
	Providers []Provider
	Judge     Judge
	Desk      Desk
	Passwords Passwords
	Office    Office // nil: nothing is decided here
	// Engine has to be a sealed one: access tokens are in it for some minutes.
	Engine store.Engine
	// Session is how long a browser stays logged in. 0 = 15 min.
	Session time.Duration
	// Origin is where a request comes from, behind the proxies that are trusted. nil: the peer.
	Origin func(*http.Request) netip.Addr
	// Limits outlive a Pages. nil: new ones.
	Limits *Limits
	Audit  func(ctx context.Context, e Event)
	Now    func() time.Time
	Log    *slog.Logger
}

// Limits are how often something is done. They may be handed to the Pages that comes after this one.
type Limits struct {
	Visits *limit.Limiter // pages, of an address
	Logins *limit.Limiter // that are begun, of an address
	Deeds  *limit.Limiter // passwords and deployments, of a person
}

// NewLimits returns those there are where nothing else is said: 120 pages and 20 logins a minute for an address, behind
// which may be a whole institute, and 10 deeds in five minutes for a person.
func NewLimits(now func() time.Time) *Limits {
	return &Limits{
		Visits: limit.New(limit.Options{Events: 120, Per: time.Minute, Now: now}),
		Logins: limit.New(limit.Options{Events: 20, Per: time.Minute, Now: now}),
		Deeds:  limit.New(limit.Options{Events: 10, Per: 5 * time.Minute, Now: now}),
	}
}

// Pages serves the pages of one provisioner. It is safe for concurrent use.
type Pages struct {
	o         options
	base      string // path of the URL, without a slash at the end
	secure    bool   // the URL is https
	cross     *http.CrossOriginProtection
	templates func() (*template.Template, error)
	assets    assets
	handler   http.Handler
}

type options struct {
	Options
	*Limits
}

// Paths below the base.
const (
	pathBack    = "/back"
	pathAccount = "/account"
	pathDecide  = "/decide/"
)

// RedirectURI is what has to be registered at the providers for pages at that URL.
func RedirectURI(pages string) string { return strings.TrimRight(pages, "/") + pathBack }

// DecisionURL is the page of a link of core/account/approval, for pages at that URL.
func DecisionURL(pages, link string) string { return strings.TrimRight(pages, "/") + pathDecide + link }

// New returns the pages. Templates are parsed at the first page that is shown, and no provider is asked before.
func New(o Options) (*Pages, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("pages: %q is no URL of pages", o.URL)
	}
	if o.Judge == nil || o.Desk == nil || o.Passwords == nil || o.Engine == nil || o.Host == "" {
		return nil, errors.New("pages: something is missing that they cannot do without")
	}
	o.URL = strings.TrimRight(o.URL, "/")
	p := &Pages{
		o: o.complete(), base: strings.TrimRight(u.Path, "/"), secure: u.Scheme == "https",
		cross: http.NewCrossOriginProtection(), assets: newAssets(),
	}
	if err := p.cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("pages: URL %q: %w", o.URL, err)
	}
	p.templates = sync.OnceValues(p.parse)
	p.handler = p.routes()
	return p, nil
}

func (o Options) complete() options {
	if o.Origin == nil {
		o.Origin = func(r *http.Request) netip.Addr {
			at, _ := netip.ParseAddrPort(r.RemoteAddr)
			return at.Addr().Unmap()
		}
	}
	if o.Session <= 0 {
		o.Session = sessionLife
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	limits := o.Limits
	if limits == nil {
		limits = NewLimits(o.Now)
	}
	return options{Options: o, Limits: limits}
}

// Handler serves all paths of the pages, and answers others with a page that says so.
func (p *Pages) Handler() http.Handler { return p.handler }

func (p *Pages) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, fn reply) { mux.Handle("GET "+p.base+path, p.page(fn)) }
	post := func(path string, fn reply) { mux.Handle("POST "+p.base+path, p.page(p.guarded(fn))) }

	if p.base != "" {
		get("", p.front)
	}
	get("/{$}", p.front)
	post("/begin", p.login)
	get(pathBack, p.land)
	get(pathAccount, p.account)
	post("/deploy", p.deploy)
	post("/password", p.password)
	post("/logout", p.logout)
	// A page that is reloaded after a POST, or comes back from the history, is asked for by GET.
	for _, path := range []string{"/begin", "/deploy", "/password", "/logout"} {
		get(path, func(v *visit) error { return v.redirect("/") })
	}
	if p.o.Office != nil {
		get(pathDecide+"{link}", p.showDecision)
		post(pathDecide+"{link}", p.decide)
	}
	mux.Handle("GET "+p.base+"/static/{name}", p.assets)
	mux.Handle("/", p.page(func(*visit) error { return &fault{status: http.StatusNotFound, code: codeNowhere} }))
	return mux
}

func (p *Pages) address(a netip.Addr) string { return limit.Address(a) }

func (p *Pages) audit(ctx context.Context, v *visit, e Event) {
	e.Remote = v.from
	p.o.Audit(ctx, e)
}
