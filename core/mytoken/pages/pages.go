package pages

import (
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

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// Operator is who runs the service: what people are told of it.
type Operator struct {
	Name, Homepage       string
	Contact, PrivacyMail string // mail addresses
}

// Options of New. Issuer and Logins are needed; without one of the other services its pages are not there.
type Options struct {
	Issuer   string // URL of the server, without a slash at the end
	Operator Operator
	Logins   Logins
	Mytokens Mytokens
	Mail     Mail
	SSH      SSH
	Notices  Notices
	Transfer bool // the server makes transfer codes
	// Keys of clauses that the server looks at; nil: all of them (rules.Keys).
	Supported []string
	// Clauses is how many clauses a mytoken may have. 0 = ledger.MaxClauses.
	Clauses int
	// Retention is how long what has ended is kept, for the page on privacy.
	Retention time.Duration
	// SessionLife is how long a browser stays logged in. 0 = 7 days.
	SessionLife time.Duration
	// Origin is where a request comes from, behind the proxies that are trusted. nil: the peer.
	Origin func(*http.Request) desk.Origin
	// Guess counts an attempt with a code that people type, and refuses one too many. nil: none is.
	Guess func(netip.Addr) error
	// Country is the country of an address, "" when it is not known. nil: none is.
	Country func(netip.Addr) string
	Now     func() time.Time
	Log     *slog.Logger
}

// Pages serves the pages of one server. It is safe for concurrent use.
type Pages struct {
	o         Options
	base      string // path of the issuer, without a slash at the end
	secure    bool   // the issuer is https
	cross     *http.CrossOriginProtection
	templates func() (*template.Template, error)
	assets    assets
	handler   http.Handler
}

// New returns the pages. Templates are parsed at the first page that is shown.
func New(o Options) (*Pages, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("pages: issuer %q is no URL of a server", o.Issuer)
	}
	if o.Logins == nil {
		return nil, errors.New("pages: nobody can log in")
	}
	p := &Pages{
		o: o.complete(), base: strings.TrimRight(u.Path, "/"), secure: u.Scheme == "https",
		cross: http.NewCrossOriginProtection(), assets: newAssets(),
	}
	if err := p.cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("pages: issuer %q: %w", o.Issuer, err)
	}
	p.templates = sync.OnceValues(p.parse)
	p.handler = p.routes()
	return p, nil
}

func (o Options) complete() Options {
	o.Issuer = strings.TrimRight(o.Issuer, "/")
	if o.SessionLife == 0 {
		o.SessionLife = 7 * 24 * time.Hour
	}
	if o.Clauses == 0 {
		o.Clauses = ledger.MaxClauses
	}
	if o.Origin == nil {
		o.Origin = peer
	}
	if o.Country == nil {
		o.Country = func(netip.Addr) string { return "" }
	}
	if o.Guess == nil {
		o.Guess = func(netip.Addr) error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func peer(r *http.Request) desk.Origin {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return desk.Origin{Client: at.Addr().Unmap(), UserAgent: r.UserAgent()}
}

// Handler serves all paths of the pages, below the path of the issuer, and answers others with a page that says so.
func (p *Pages) Handler() http.Handler { return p.handler }

// settings reports whether there is anything to set.
func (p *Pages) settings() bool { return p.o.Mail != nil || p.o.SSH != nil || p.o.Notices != nil }

func (p *Pages) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, fn reply) { mux.Handle("GET "+p.base+path, p.page(fn)) }
	post := func(path string, fn reply) { mux.Handle("POST "+p.base+path, p.page(p.guarded(fn))) }

	get("/{$}", p.front)
	post("/login", p.login)
	post("/logout", p.logout)
	get("/redirect", p.land)
	get("/privacy", p.privacy)
	get("/c/{code}", p.showConsent)
	post("/c/{code}", p.decide)
	get("/native", p.native)
	get("/native/abort", p.aborted)
	get("/create", p.showCreate)
	post("/create", p.create)
	get("/created", p.showCreated)
	post("/created", p.created)
	mux.Handle("GET "+p.base+"/static/{name}", p.assets)
	if p.o.Mytokens != nil {
		p.routeHome(get, post)
	}
	if p.settings() {
		p.routeSettings(get, post)
	}
	if p.o.Notices != nil {
		p.routeNotices(get, post)
	}
	mux.Handle("/", p.page(func(*visit) error { return nowhere() }))
	return mux
}
