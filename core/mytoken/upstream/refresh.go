package upstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Ask returns what to send with a refresh for a use of a mytoken. Errors, before anything is sent: desk.ErrDown,
// flow.ErrAudience.
func (p *Provider) Ask(c rules.Candidate) (flow.Request, error) {
	if err := p.askable(c.Audience); err != nil {
		return flow.Request{}, err
	}
	if _, err := p.ready(); err != nil {
		return flow.Request{}, err
	}
	r := flow.Request{Audience: slices.Clone(c.Audience)}
	if len(c.Scopes) == 0 || p.quirks.Fixed {
		return r, nil
	}
	r.Scope = slices.Clone([]string(c.Scopes))
	for _, s := range p.quirks.Again {
		if !slices.Contains(r.Scope, s) {
			r.Scope = append(r.Scope, s)
		}
	}
	return r, nil
}

// Refresh sends a refresh token to the provider: a Provider is a custody.Refresher. It calls nobody else.
func (p *Provider) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	op, err := p.ready()
	if err != nil {
		return flow.Tokens{}, err
	}
	t, err := op.Refresh(ctx, rt, r)
	if err == nil || !t.Refresh.Empty() {
		p.habit.learn(rt, t.Refresh)
	}
	return t, err
}

// Check compares an access token with the use that it was got for, and returns what it is for. Whoever gets an error
// hands the token out to nobody; it is a *rules.WithheldError or a *rules.ExcessError.
//
// Both the provider's answer and, where the access token is a JWT, the token itself are believed only in so far as they
// say that it can do no more than was asked for, and no less.
func (p *Provider) Check(asked rules.Candidate, t flow.Tokens) (rules.Granted, error) {
	// What is always there is no excess; where it was asked for it has to be there.
	tolerated := slices.DeleteFunc(slices.Concat(p.protocol(), p.quirks.ExtraScopes), func(s string) bool {
		return slices.Contains(p.quirks.ExtraScopes, s) && slices.Contains(asked.Scopes, s)
	})
	for _, g := range p.statements(asked, t) {
		if err := rules.Check(asked, g, tolerated...); err != nil {
			return rules.Granted{}, fmt.Errorf("access token of %s: %w", p.conf.Issuer, err)
		}
	}
	return granted(t), nil
}

// statements are what the answer and the token say, without the audiences that this provider always adds.
func (p *Provider) statements(asked rules.Candidate, t flow.Tokens) []rules.Granted {
	said, own := granted(t), rules.Granted{}
	if in, ok := inside(t.Access); ok {
		own.Scopes = in.scopes
	}
	said.Audience = slices.DeleteFunc(said.Audience, func(a string) bool {
		return slices.Contains(p.quirks.Extra, a) && !slices.Contains(asked.Audience, a)
	})
	return []rules.Granted{said, own}
}

// granted is what an answer of the token endpoint says.
func granted(t flow.Tokens) rules.Granted {
	var g rules.Granted
	if t.Scope != "" {
		g.Scopes = claims.ParseScopes(t.Scope)
	}
	if in, ok := inside(t.Access); ok {
		g.Audience = in.audience
		if g.Scopes == nil {
			g.Scopes = in.scopes
		}
	}
	return g
}

// content is what an access token says of itself. Nothing of it is believed in the token's favour, so its signature is
// not looked at.
type content struct {
	audience []string
	scopes   claims.Scopes
}

// inside reads an access token that is a JWT, whatever it is signed with. One without aud is for anybody, and one that
// cannot be read strictly for whoever reads it otherwise: both have an audience that is empty, and not none, so that one
// that was asked for is missed.
func inside(at secret.Text) (c content, ok bool) {
	_ = at.Use(func(b []byte) error {
		parts := bytes.Split(b, []byte("."))
		if len(parts) != 3 {
			return nil
		}
		text, err := base64.RawURLEncoding.AppendDecode(nil, parts[1])
		if err != nil || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
			return nil
		}
		defer clear(text)
		c.audience, ok = []string{}, true
		if o, err := jose.StrictObject(text, jose.PayloadDepth, jose.PayloadMembers); err == nil {
			c.read(o)
		}
		return nil
	})
	return c, ok
}

func (c *content) read(o jose.Object) {
	aud, _ := o.OneOrMore("aud")
	c.audience = append(c.audience, aud...)
	for _, name := range []string{"scope", "scp"} {
		list, _ := o.OneOrMore(name)
		for _, s := range list {
			c.scopes = append(c.scopes, claims.ParseScopes(s)...)
		}
	}
}

// Revoke ends a refresh token at the provider (RFC 7009). flow.ErrNoEndpoint where that is not possible.
func (p *Provider) Revoke(ctx context.Context, rt secret.Text) error {
	op, err := p.ready()
	if err != nil {
		return err
	}
	return op.Revoke(ctx, rt, "refresh_token")
}
