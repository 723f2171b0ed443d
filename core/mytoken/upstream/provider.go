package upstream

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
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
// It is a desk.Provider. What needs its endpoints fails with desk.ErrDown, before anything is sent, while these are not
// known.
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
	md    *provider.Metadata
	state state
}

// state is what the last search for the endpoints came to.
type state struct {
	settled bool
	reason  string // "": it succeeded
	device  bool   // its document has an endpoint for device codes
	since   time.Time
	next    time.Time
}

// backend is what speaks to a provider: by its endpoints, or the guest provider. It keeps nothing between two calls.
type backend interface {
	start(ctx context.Context, s desk.Start) (url string, err error)
	finish(ctx context.Context, f desk.Finish) (flow.Tokens, error)
	startDevice(ctx context.Context, s desk.Start) (desk.Device, error)
	pollDevice(ctx context.Context, d desk.Device) (flow.Tokens, error)
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
	p.use(md)
	return nil
}

// use makes a client of the document of the provider.
func (p *Provider) use(md *provider.Metadata) {
	p.keys.Trust([]provider.Trusted{{Issuer: md.Issuer}})
	op := &oidc{p: p, md: md, Client: flow.New(p.http, md, flow.ClientConfig{
		ID: p.conf.ClientID, Secret: p.conf.Secret, AuthMethod: p.conf.Method, OAuth2: md.OAuth2, Key: p.conf.Key,
		Assertion: p.quirks.Assertion,
	}, flow.Options{
		Keys: p.keys, Now: p.o.Now, Audience: p.quirks.Audience.flow(), Push: cmp.Or(p.conf.Push, flow.PushOffered),
	})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op, p.md, p.state.device = op, md, md.DeviceAuthorizationEndpoint != ""
}

// inherit takes over what another registry has found out about the same provider.
func (p *Provider) inherit(from *Registry) {
	for _, old := range from.all {
		old.mu.Lock()
		md := old.md
		old.mu.Unlock()
		if md == nil || md.Issuer != p.conf.Issuer {
			continue
		}
		p.use(md)
		p.state.reason = ""
		p.habit.kept.Store(old.habit.kept.Load())
		p.habit.rotated.Store(old.habit.rotated.Load())
	}
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

// ready returns what speaks to the provider, or a *DownError.
func (p *Provider) ready() (backend, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.op == nil {
		return nil, &DownError{Issuer: p.conf.Issuer, Reason: p.state.reason, Next: p.state.next}
	}
	return p.op, nil
}

// Info is what the desk knows of the provider without asking it.
func (p *Provider) Info() desk.ProviderInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	protocol := p.protocol()
	return desk.ProviderInfo{
		Issuer: p.conf.Issuer, Name: cmp.Or(p.conf.Name, p.conf.Issuer), MaxLifetime: p.conf.MaxLifetime,
		Scopes: slices.DeleteFunc(slices.Clone(p.conf.scopes()), func(s string) bool {
			return slices.Contains(protocol, s)
		}),
		ResourceOnly: p.quirks.Audience == Resource, Device: p.state.device, Down: p.op == nil, Guest: p.http == nil,
		Accepts: p.Accepts, Help: p.conf.Enforced.Help,
	}
}

// Status is what an operator wants to know of a provider.
type Status struct {
	Issuer, Name string
	// Ready says that people can log in and get access tokens.
	Ready bool
	// Reason says what went wrong when the provider was last looked for (printable), "" for nothing. A provider that was
	// found before stays ready.
	Reason string
	Since  time.Time // it is as it is
	Next   time.Time // it is looked for again; zero for the guest provider
	Habit  custody.Habit
}

// Status returns it as it is now.
func (p *Provider) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{
		Issuer: p.conf.Issuer, Name: cmp.Or(p.conf.Name, p.conf.Issuer), Ready: p.op != nil, Reason: p.state.reason,
		Since: p.state.since, Next: p.state.next, Habit: p.Habit(),
	}
}

// protocol are scopes that belong to a login and not to what a person may do with it: an access token may have them or
// not.
func (p *Provider) protocol() []string {
	list := slices.Concat([]string{scopeOpenID}, p.quirks.Again)
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
