package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// revokeTime bounds the revocation of what a login brought that came to nothing.
const revokeTime = 10 * time.Second

// Ask is what a login is for.
type Ask struct {
	Scopes    []string // those of the mytoken; nil: Provider.Scopes. What a login needs itself is added
	Audience  []string
	State     string // unguessable; "": one is made. Of the code flow only
	LoginHint string
}

// Authorization is a login in a browser that has begun.
type Authorization struct {
	URL   string // for the browser
	State string
	// Record is what Finish needs, here or in another process that has the same configuration: a few hundred bytes, good
	// for this login. Who keeps it sees to it that it is used once. The caller wipes it.
	Record secret.Text
}

// Device is a login on another device that has begun (RFC 8628).
type Device struct {
	UserCode    string
	URI         string // where the person goes
	URIComplete string // the same with the code in it; "" when the provider gives none
	Expires     time.Time
	Interval    time.Duration
	// Record is what PollDevice needs, as that of an Authorization.
	Record secret.Text
}

// Login is a person who has logged in. The caller wipes it.
type Login struct {
	Refresh secret.Text
	Access  secret.Text
	Subject string
	Email   string // "" when the provider does not say
	// EmailVerified is what the provider says of Email.
	EmailVerified bool
	// AuthTime is when the person was asked for who they are; the time of the answer where the provider does not say.
	AuthTime time.Time
	Expires  time.Time // of Access; zero: not known
	// Granted is what the login has got, for rules.Cut.
	Granted rules.Granted
	Habit   custody.Habit
}

// Wipe clears the tokens.
func (l Login) Wipe() {
	l.Refresh.Wipe()
	l.Access.Wipe()
}

// For returns what a login has to ask for so that a mytoken with these restrictions can be used: all scopes and
// audiences of its clauses. One clause without scopes may use those of the provider.
func (p *Provider) For(rs mytoken.Restrictions) Ask {
	var a Ask
	add := func(to []string, more ...string) []string {
		for _, s := range more {
			if !slices.Contains(to, s) {
				to = append(to, s)
			}
		}
		return to
	}
	for _, r := range rs {
		scopes := []string(claims.ParseScopes(r.Scope))
		if len(scopes) == 0 {
			scopes = p.conf.scopes()
		}
		a.Scopes = add(a.Scopes, scopes...)
		a.Audience = add(a.Audience, r.Audience...)
	}
	return a
}

// ResourceOnly says that audiences can be asked for as resource only (RFC 8707): for rules.Setting.
func (p *Provider) ResourceOnly() bool { return p.quirks.Audience == Resource }

// Accepts reports whether the provider can be held to the settled restrictions rs, before anybody logs in: its
// audiences can be asked for, and its scopes where the provider does not narrow them. The error is a
// *rules.ClausesError.
func (p *Provider) Accepts(rs mytoken.Restrictions) error {
	var faults []rules.Fault
	for i, r := range rs {
		for _, a := range r.Audience {
			if why := p.refuses(a); why != "" {
				faults = append(faults, rules.Fault{Clause: i + 1, Reason: why})
			}
		}
		if p.quirks.Fixed && !sameScopes(r.Scope, rs[0].Scope) {
			faults = append(faults, rules.Fault{
				Clause: i + 1, Reason: "the provider gives all scopes of a login at once: clauses cannot have different ones",
			})
		}
	}
	if len(faults) > 0 {
		return &rules.ClausesError{Faults: faults}
	}
	return nil
}

func sameScopes(a, b string) bool {
	x, y := claims.ParseScopes(a), claims.ParseScopes(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(slices.Compact(x), slices.Compact(y))
}

// refuses says why an audience cannot be asked for, "" when it can.
func (p *Provider) refuses(audience string) string {
	switch {
	case p.quirks.Audience == None:
		return fmt.Sprintf("audience %.100q: the provider cannot be told for whom an access token is", audience)
	case p.quirks.Audience == Resource && !rules.Resource(audience):
		return fmt.Sprintf("audience %.100q: the provider takes absolute URIs only (RFC 8707)", audience)
	case audience == "" || strings.ContainsAny(audience, " \t\r\n"):
		return fmt.Sprintf("audience %.100q is not one value", audience)
	}
	return ""
}

func (p *Provider) askable(audience []string) error {
	for _, a := range audience {
		if why := p.refuses(a); why != "" {
			return fmt.Errorf("%w: %s", ErrAudience, why)
		}
	}
	return nil
}

// Authorize begins a login in a browser: code flow with PKCE, state and nonce, pushed to the provider first where it
// offers that. Errors: ErrNotReady, ErrAudience; *flow.Error for a refusal of what was pushed.
func (p *Provider) Authorize(ctx context.Context, a Ask) (Authorization, error) {
	op, err := p.asking(&a)
	if err != nil {
		return Authorization{}, err
	}
	return op.authorize(ctx, a)
}

// StartDevice begins a login on another device. Errors as with Authorize; flow.ErrNoEndpoint where the provider does
// not offer it.
func (p *Provider) StartDevice(ctx context.Context, a Ask) (Device, error) {
	op, err := p.asking(&a)
	if err != nil {
		return Device{}, err
	}
	return op.startDevice(ctx, a)
}

func (p *Provider) asking(a *Ask) (backend, error) {
	if a.Scopes == nil {
		a.Scopes = p.conf.scopes()
	}
	if err := p.askable(a.Audience); err != nil {
		return nil, err
	}
	return p.ready()
}

// Finish takes the query with which the browser came back, and the record of Authorize, and returns who has logged in.
//
// Errors: flow.ErrState for a query of another login, which leaves this one open; flow.ErrAccessDenied for a person who
// said no; *flow.Error for other refusals; flow.ErrIssuer, flow.ErrIDToken; ErrNoRefresh, ErrNoSubject, ErrSubject;
// ErrRecord. What the provider gave for a login that fails here is revoked there.
func (p *Provider) Finish(ctx context.Context, record secret.Text, query url.Values) (Login, error) {
	op, err := p.ready()
	if err != nil {
		return Login{}, err
	}
	t, err := op.finish(ctx, record, query)
	return p.loggedIn(ctx, op, t, err)
}

// PollDevice asks once whether the person has decided. The caller keeps the interval. Errors on the way are
// flow.ErrAuthorizationPending and flow.ErrSlowDown, at the end flow.ErrAccessDenied, flow.ErrExpiredCode, and those of
// Finish.
func (p *Provider) PollDevice(ctx context.Context, record secret.Text) (Login, error) {
	op, err := p.ready()
	if err != nil {
		return Login{}, err
	}
	t, err := op.pollDevice(ctx, record)
	return p.loggedIn(ctx, op, t, err)
}

// loggedIn makes a login of tokens. A refresh token of one that fails is of no use to anybody, so it is ended.
func (p *Provider) loggedIn(ctx context.Context, op backend, t flow.Tokens, err error) (Login, error) {
	var who identity
	if err == nil && t.Refresh.Empty() {
		err = fmt.Errorf("log in at %s: %w", p.conf.Issuer, ErrNoRefresh)
	}
	if err == nil {
		who, err = p.identify(ctx, op, t)
	}
	if err != nil {
		p.abandon(ctx, op, t)
		return Login{}, err
	}
	t.ID.Wipe()
	return Login{
		Refresh: t.Refresh, Access: t.Access, Subject: who.subject, Email: who.email, EmailVerified: who.verified,
		AuthTime: who.authTime, Expires: t.Expires, Granted: granted(t), Habit: p.Habit(),
	}, nil
}

func (p *Provider) abandon(ctx context.Context, op backend, t flow.Tokens) {
	defer t.Wipe()
	if t.Refresh.Empty() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	if err := op.Revoke(ctx, t.Refresh, "refresh_token"); err != nil {
		p.o.Log.WarnContext(ctx, "the refresh token of a login that failed could not be revoked", "issuer", p.conf.Issuer,
			"err", printable(err.Error()))
	}
}

// oidc is a provider that is reached by its endpoints.
type oidc struct {
	*flow.Client
	p  *Provider
	md *provider.Metadata
}

// scopes adds what a login needs itself.
func (b *oidc) scopes(asked []string) []string {
	out := slices.Clone(asked)
	if !b.md.OAuth2 && !slices.Contains(out, scopeOpenID) {
		out = append([]string{scopeOpenID}, out...)
	}
	if off := b.p.quirks.Offline; off != "" && !slices.Contains(out, off) {
		out = append(out, off)
	}
	return out
}

func (b *oidc) request(a Ask) flow.Request {
	return flow.Request{Scope: b.scopes(a.Scopes), Audience: a.Audience, Extra: b.p.quirks.Parameters}
}

func (b *oidc) authorize(ctx context.Context, a Ask) (Authorization, error) {
	l, err := b.StartCode(ctx, flow.CodeRequest{
		Request: b.request(a), RedirectURI: b.p.o.RedirectURI, State: a.State, LoginHint: a.LoginHint,
		Prompt: "consent", // without it a provider may leave out the refresh token (OpenID Connect Core 11)
	})
	if err != nil {
		return Authorization{}, err
	}
	record, err := l.Export()
	return Authorization{URL: l.URL, State: l.State, Record: record}, err
}

func (b *oidc) finish(ctx context.Context, record secret.Text, query url.Values) (flow.Tokens, error) {
	l, err := b.ResumeCode(record)
	if errors.Is(err, flow.ErrRecord) {
		err = fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if err != nil {
		return flow.Tokens{}, err
	}
	return l.Finish(ctx, query)
}

func (b *oidc) startDevice(ctx context.Context, a Ask) (Device, error) {
	r := b.request(a)
	r.Extra = nil // what is said to an authorization endpoint is not for this one
	d, err := b.StartDevice(ctx, r)
	if err != nil {
		return Device{}, err
	}
	defer d.Code.Wipe()
	record, err := b.ExportDevice(d)
	return Device{
		UserCode: d.UserCode, URI: d.URI, URIComplete: d.URIComplete, Expires: d.Expires, Interval: d.Interval,
		Record: record,
	}, err
}

func (b *oidc) pollDevice(ctx context.Context, record secret.Text) (flow.Tokens, error) {
	d, err := b.ResumeDevice(record)
	if errors.Is(err, flow.ErrRecord) {
		err = fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if err != nil {
		return flow.Tokens{}, err
	}
	defer d.Code.Wipe()
	return b.PollDevice(ctx, d)
}
