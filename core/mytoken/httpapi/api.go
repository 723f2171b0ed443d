package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// ErrOptions is returned by New for options that make no server.
var ErrOptions = errors.New("mytoken HTTP interface is not configured")

// Features are what discovery tells of and what is served, beside those of the desk.
type Features struct {
	desk.Features
	Introspect, History, Tree, List bool // actions of the tokeninfo endpoint
	Revocation                      bool
	Templates                       bool // reading them; writing needs a password in Groups
	Notifications                   bool
	SSH                             bool
	// NoExchange switches token exchange (RFC 8693) off.
	NoExchange bool
}

// HostKey is one of the ssh server.
type HostKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

// Options make an API. Issuer, Desk and Keys are needed.
type Options struct {
	Issuer   string // without a path
	Desk     *desk.Desk
	Keys     func() *jose.KeySet // the public signing keys; the newest first
	Alg      jose.Alg            // of the newest
	Features Features
	SSHKeys  []HostKey
	// Documentation is a URL, "" for none; Version that of the server.
	Documentation, Version string
	// Templates are what groups keep. nil: there are none to be had.
	Templates *desk.Templates
	// Groups are the passwords of those who keep templates; that of the group "_" is the administrator's.
	Groups map[string]secret.Text
	// Clients may introspect any mytoken (RFC 7662): names and passwords.
	Clients map[string]secret.Text
	// Proxies are believed about whose request it is. UnixProxy says so of everybody who comes over a Unix socket.
	Proxies   []netip.Prefix
	UnixProxy bool
	// Gate is shared with the desk. nil: guesses are limited, nothing else is.
	Gate *Gate
	// CookieLife is how long the cookie of a browser lives. 0: 7 days.
	CookieLife time.Duration
	// Mount is what else is served: pages, feeds, and endpoints of the API that other packages have.
	Mount []Route
	// About answers the tokeninfo action "notifications". nil: there is none.
	About Endpoint
	// Pages serve every other path, the redirect of logins and the forms of the consent page among them. nil: there are
	// no pages; a login ends with a line of text.
	Pages http.Handler
	// ErrorPage shows a refusal to a person: where there is no such page, and of who asks too often. nil: a line of text.
	ErrorPage func(w http.ResponseWriter, r *http.Request, err error)
	// DPoP says that the desk takes mytokens that are bound to a key.
	DPoP bool
	// Seen is told of every request that was answered, for metrics. op names the route. It must not block. nil: nobody is.
	Seen func(ctx context.Context, op string, status int, took time.Duration)
	Now  func() time.Time
	Log  *slog.Logger
}

// API is the HTTP interface of a mytoken server.
type API struct {
	o       Options
	base    string // the issuer without a slash at the end
	origin  string // of the issuer, as browsers write it
	origins origins
	handler http.Handler
}

const defaultCookieLife = 7 * 24 * time.Hour

// New makes an API. It listens nowhere. The error is ErrOptions.
func New(o Options) (*API, error) {
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: the issuer is no web address", ErrOptions)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%w: the issuer has more than a host", ErrOptions)
	case o.Desk == nil || o.Keys == nil:
		return nil, fmt.Errorf("%w: no desk or no keys", ErrOptions)
	}
	if o.CookieLife == 0 {
		o.CookieLife = defaultCookieLife
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Gate == nil {
		o.Gate = NewGate(Limits{}, o.Now)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{
		o: o, base: strings.TrimSuffix(o.Issuer, "/"), origin: originOfURL(u),
		origins: origins{proxies: o.Proxies, unix: o.UnixProxy},
	}
	if a.handler, err = a.mux(); err != nil {
		return nil, err
	}
	return a, nil
}

// Handler serves everything: the API, discovery, and what is mounted.
func (a *API) Handler() http.Handler { return a.handler }
