package upstream

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	scopeOpenID = "openid"
	// maxReason bounds what is said of a provider that cannot be reached, in bytes.
	maxReason = 300
)

var errNoEndpoints = errors.New("its discovery document has no endpoints to log in at")

// Provider is one provider. Its methods are safe for concurrent use.
//
// Those that need its endpoints fail with ErrNotReady, before anything is sent, while these are not known.
type Provider struct {
	conf   Config
	quirks Quirks
	o      Options
	http   *httpc.Client  // nil: the guest provider
	keys   *provider.Keys // nil: the guest provider
	habit  habit

	tried chan struct{} // closed after the first search
	mu    sync.Mutex
	op    backend // nil: the endpoints are not known
	state state
}

// state is what the last search for the endpoints came to.
type state struct {
	settled   bool
	reason    string // "": it succeeded
	supported []string
	since     time.Time
	next      time.Time
}

// backend is what speaks to a provider: by its endpoints, or the guest provider. It keeps nothing between two calls.
type backend interface {
	authorize(ctx context.Context, a Ask) (Authorization, error)
	finish(ctx context.Context, record secret.Text, query url.Values) (flow.Tokens, error)
	startDevice(ctx context.Context, a Ask) (Device, error)
	pollDevice(ctx context.Context, record secret.Text) (flow.Tokens, error)
	Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error)
	Revoke(ctx context.Context, token secret.Text, hint string) error
	Userinfo(ctx context.Context, at secret.Text) (jose.Object, error)
}

func newProvider(c Config, o Options) (*Provider, error) {
	q, err := c.quirks()
	if err != nil {
		return nil, err
	}
	h := o.HTTP
	h.CAFile = cmp.Or(c.CAFile, h.CAFile)
	hc, err := httpc.New(h)
	if err != nil {
		return nil, err
	}
	p := &Provider{conf: c, quirks: q, o: o, http: hc, tried: make(chan struct{})}
	p.habit.told = q.Habit
	p.keys = provider.NewKeys(hc, provider.KeysOptions{Now: o.Now, Log: o.Log})
	p.state = state{reason: "it was not asked yet", since: o.Now()}
	return p, nil
}

func (p *Provider) close() {
	if p.http != nil {
		p.keys.Close()
		p.http.CloseIdle()
	}
}

// discover fetches the document of the provider and makes a client of it.
func (p *Provider) discover(ctx context.Context) error {
	md, err := provider.Discover(ctx, p.http, p.conf.Issuer)
	if err != nil {
		return err
	}
	if md.AuthorizationEndpoint == "" || md.TokenEndpoint == "" {
		return errNoEndpoints
	}
	p.keys.Trust([]provider.Trusted{{Issuer: md.Issuer}})
	op := &oidc{p: p, md: md, Client: flow.New(p.http, md, flow.ClientConfig{
		ID: p.conf.ClientID, Secret: p.conf.Secret, AuthMethod: p.conf.Method, OAuth2: md.OAuth2, Key: p.conf.Key,
		Assertion: p.quirks.Assertion,
	}, flow.Options{
		Keys: p.keys, Now: p.o.Now, Audience: p.quirks.Audience.flow(), Push: cmp.Or(p.conf.Push, flow.PushOffered),
	})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op, p.state.supported = op, md.ScopesSupported
	return nil
}

// settle notes what a search came to. Endpoints that were found before stay in use: a document that cannot be had for a
// while says nothing about them.
func (p *Provider) settle(ctx context.Context, err error, next time.Time) {
	p.mu.Lock()
	s := &p.state
	was := s.reason
	s.reason, s.next = "", next
	if err != nil {
		s.reason = printable(err.Error())
	}
	if changed := (was == "") != (s.reason == "") || !s.settled; changed {
		s.since = p.o.Now()
		defer func() { p.tell(ctx, err) }()
	}
	if !s.settled {
		s.settled = true
		defer close(p.tried)
	}
	p.mu.Unlock()
}

func (p *Provider) tell(ctx context.Context, err error) {
	if err != nil {
		p.o.Log.WarnContext(ctx, "a provider is not available", "issuer", p.conf.Issuer, "err", printable(err.Error()))
		return
	}
	p.o.Log.InfoContext(ctx, "a provider is available", "issuer", p.conf.Issuer)
}

// printable cuts a text that may repeat what a stranger wrote, and replaces what a terminal or a log would obey.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}

// ready returns what speaks to the provider, or a *NotReadyError.
func (p *Provider) ready() (backend, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.op == nil {
		return nil, &NotReadyError{Issuer: p.conf.Issuer, Reason: p.state.reason, Next: p.state.next}
	}
	return p.op, nil
}

// Ready returns nil when people can log in and access tokens can be had, else a *NotReadyError.
func (p *Provider) Ready() error {
	_, err := p.ready()
	return err
}

// Info returns what can be said of the provider to everybody.
func (p *Provider) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Info{
		Issuer: p.conf.Issuer, Name: cmp.Or(p.conf.Name, p.conf.Issuer), Ready: p.op != nil, Reason: p.state.reason,
		Since: p.state.since, Next: p.state.next, Guest: p.http == nil,
	}
	i.Scopes = slices.Clone(p.conf.Scopes)
	if p.conf.Scopes == nil {
		i.Scopes = slices.Clone(p.state.supported)
	}
	return i
}

// Issuer is that of the configuration: part of who a person is.
func (p *Provider) Issuer() string { return p.conf.Issuer }

// Name is the short name of the configuration, else the issuer.
func (p *Provider) Name() string { return cmp.Or(p.conf.Name, p.conf.Issuer) }

// MaxLifetime is how long a mytoken may live; 0: no limit.
func (p *Provider) MaxLifetime() time.Duration { return p.conf.MaxLifetime }

// Scopes are what a login asks for that names none.
func (p *Provider) Scopes() []string { return slices.Clone(p.conf.scopes()) }

// Protocol are scopes that belong to a login and not to what a person may do with it: rules.Check may find them in an
// access token or not.
func (p *Provider) Protocol() []string {
	list := append([]string{scopeOpenID}, p.quirks.Again...)
	if p.quirks.Offline != "" {
		list = append(list, p.quirks.Offline)
	}
	return list
}

// Habit is what the provider does with refresh tokens that were used, as far as that was told or learned here.
func (p *Provider) Habit() custody.Habit { return p.habit.now() }

// sureAfter is how many refreshes have to bring no new refresh token before a provider counts as one that keeps them.
const sureAfter = 3

// habit is learned from what refreshes bring.
type habit struct {
	told    custody.Habit
	kept    atomic.Int64
	rotated atomic.Bool
}

func (h *habit) now() custody.Habit {
	switch {
	case h.rotated.Load():
		return custody.HabitRotates
	case h.told != custody.HabitUnknown:
		return h.told
	case h.kept.Load() >= sureAfter:
		return custody.HabitKeeps
	}
	return custody.HabitUnknown
}

func (h *habit) learn(sent, got secret.Text) {
	if got.Empty() || got.Equal(sent) {
		h.kept.Add(1)
		return
	}
	h.rotated.Store(true)
}
