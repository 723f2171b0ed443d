package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// revokeTime bounds the revocation of what a login brought that came to nothing.
const revokeTime = 10 * time.Second

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
	case audience == "" || strings.ContainsAny(audience, " \t\r\n"):
		return fmt.Sprintf("audience %.100q is not one value", audience)
	case p.quirks.Audience == None:
		return fmt.Sprintf("audience %.100q: the provider cannot be told for whom an access token is", audience)
	case p.quirks.Audience == Resource && !rules.Resource(audience):
		return fmt.Sprintf("audience %.100q: the provider takes absolute URIs only (RFC 8707)", audience)
	}
	return ""
}

func (p *Provider) askable(audience []string) error {
	for _, a := range audience {
		if why := p.refuses(a); why != "" {
			return fmt.Errorf("%w: %s", flow.ErrAudience, why)
		}
	}
	return nil
}

// Start begins a login in a browser: code flow with PKCE, state and nonce, pushed to the provider first where it offers
// that. Errors: desk.ErrDown, flow.ErrAudience; *flow.Error for a refusal of what was pushed.
func (p *Provider) Start(ctx context.Context, s desk.Start) (string, error) {
	op, err := p.asking(&s)
	if err != nil {
		return "", err
	}
	return op.start(ctx, s)
}

// StartDevice begins a login on another device. Errors as with Start; desk.ErrNoDevice where the provider does not
// offer it.
func (p *Provider) StartDevice(ctx context.Context, s desk.Start) (desk.Device, error) {
	op, err := p.asking(&s)
	if err != nil {
		return desk.Device{}, err
	}
	d, err := op.startDevice(ctx, s)
	if errors.Is(err, flow.ErrNoEndpoint) {
		err = fmt.Errorf("%w: %w", desk.ErrNoDevice, err)
	}
	return d, err
}

func (p *Provider) asking(s *desk.Start) (backend, error) {
	if len(s.Scopes) == 0 {
		s.Scopes = p.conf.scopes()
	}
	if err := p.askable(s.Audience); err != nil {
		return nil, err
	}
	return p.ready()
}

// Finish takes the query with which the browser came back from Start, and returns who has logged in.
//
// Errors: flow.ErrState for a query of another login; flow.ErrAccessDenied for a person who said no; *flow.Error for
// other refusals; flow.ErrIssuer, flow.ErrIDToken; desk.ErrNoRefresh, desk.ErrNoSubject, desk.ErrAttributes;
// ErrSubject, ErrClaims. What the provider gave for a login that fails here is revoked there.
func (p *Provider) Finish(ctx context.Context, f desk.Finish) (desk.Authenticated, error) {
	op, err := p.ready()
	if err != nil {
		return desk.Authenticated{}, err
	}
	t, err := op.finish(ctx, f)
	return p.loggedIn(ctx, outcome{op, t, f.Audience}, err)
}

// PollDevice asks once whether the person has decided. The caller keeps the interval. Errors on the way are
// desk.ErrPending and desk.ErrSlowDown, at the end flow.ErrAccessDenied, flow.ErrExpiredCode, and those of Finish.
func (p *Provider) PollDevice(ctx context.Context, d desk.Device, _ desk.Origin) (desk.Authenticated, error) {
	op, err := p.ready()
	if err != nil {
		return desk.Authenticated{}, err
	}
	t, err := op.pollDevice(ctx, d)
	switch {
	case errors.Is(err, flow.ErrAuthorizationPending):
		return desk.Authenticated{}, fmt.Errorf("%w: %w", desk.ErrPending, err)
	case errors.Is(err, flow.ErrSlowDown):
		return desk.Authenticated{}, fmt.Errorf("%w: %w", desk.ErrSlowDown, err)
	}
	return p.loggedIn(ctx, outcome{op, t, d.Audience}, err)
}

// outcome is what came of a login.
type outcome struct {
	op       backend
	t        flow.Tokens
	audience []string // that was asked for
}

// loggedIn makes a login of tokens. A refresh token of one that fails is of no use to anybody, so it is ended.
func (p *Provider) loggedIn(ctx context.Context, o outcome, err error) (desk.Authenticated, error) {
	a := desk.Authenticated{}
	if err == nil {
		a, err = p.welcome(ctx, o)
	}
	if err != nil {
		p.abandon(ctx, o)
		return desk.Authenticated{}, err
	}
	o.t.ID.Wipe()
	o.t.Access.Wipe()
	return a, nil
}

func (p *Provider) welcome(ctx context.Context, o outcome) (desk.Authenticated, error) {
	if o.t.Refresh.Empty() {
		return desk.Authenticated{}, fmt.Errorf("log in at %s: %w", p.conf.Issuer, desk.ErrNoRefresh)
	}
	who, err := p.identify(ctx, o.op, o.t)
	if err != nil {
		return desk.Authenticated{}, fmt.Errorf("log in at %s: %w", p.conf.Issuer, err)
	}
	template, err := p.template(ctx, o.op, o.t.Access)
	if err != nil {
		return desk.Authenticated{}, fmt.Errorf("log in at %s: %w", p.conf.Issuer, err)
	}
	a := desk.Authenticated{
		Refresh: o.t.Refresh, Subject: who.subject, Email: who.email, Verified: who.verified, AuthTime: who.authTime,
		Granted: granted(o.t), Template: template, Habit: p.Habit(),
	}
	if len(o.audience) == 0 {
		a.Granted.Audience = nil
	}
	return a, nil
}

func (p *Provider) abandon(ctx context.Context, o outcome) {
	defer o.t.Wipe()
	if o.t.Refresh.Empty() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	if err := o.op.Revoke(ctx, o.t.Refresh, "refresh_token"); err != nil {
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

// request adds what a login needs itself.
func (b *oidc) request(s desk.Start) flow.Request {
	out := slices.Clone(s.Scopes)
	if !b.md.OAuth2 && !slices.Contains(out, scopeOpenID) {
		out = append([]string{scopeOpenID}, out...)
	}
	if off := b.p.quirks.Offline; off != "" && !slices.Contains(out, off) {
		out = append(out, off)
	}
	return flow.Request{Scope: out, Audience: s.Audience}
}

func (b *oidc) start(ctx context.Context, s desk.Start) (string, error) {
	r := flow.CodeRequest{
		Request: b.request(s), RedirectURI: s.RedirectURI, State: s.State.Expose(), Nonce: s.Nonce.Expose(),
		Verifier: s.Verifier,
		Prompt:   "consent", // without it a provider may leave out the refresh token (OpenID Connect Core 11)
	}
	r.Extra = b.p.quirks.Parameters
	l, err := b.StartCode(ctx, r)
	if err != nil {
		return "", err
	}
	return l.URL, nil
}

func (b *oidc) finish(ctx context.Context, f desk.Finish) (flow.Tokens, error) {
	l := b.ResumeCode(flow.CodeResume{
		RedirectURI: f.RedirectURI, State: f.State.Expose(), Nonce: f.Nonce.Expose(), Verifier: f.Verifier,
		Audience: f.Audience,
	})
	return l.Finish(ctx, f.Query)
}

func (b *oidc) startDevice(ctx context.Context, s desk.Start) (desk.Device, error) {
	d, err := b.StartDevice(ctx, b.request(s))
	if err != nil {
		return desk.Device{}, err
	}
	return desk.Device{
		Code:    d.Code,
		Expires: d.Expires, Interval: d.Interval, Scopes: s.Scopes, Audience: s.Audience,
		DeviceInfo: desk.DeviceInfo{UserCode: d.UserCode, URI: d.URI, URIComplete: d.URIComplete},
	}, nil
}

func (b *oidc) pollDevice(ctx context.Context, d desk.Device) (flow.Tokens, error) {
	return b.PollDevice(ctx, b.ResumeDevice(flow.DeviceResume{Code: d.Code, Audience: d.Audience, Expires: d.Expires}))
}
