package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// grantForm begins the form of a token request: grant, scope, audience, resource.
func (c *Client) grantForm(grant string, r Request) (url.Values, error) {
	form := url.Values{"grant_type": {grant}}
	if len(r.Scope) > 0 {
		form.Set("scope", strings.Join(r.Scope, " "))
	}
	if err := c.audience(form, r.Audience); err != nil {
		return nil, err
	}
	return form, resources(form, r.Resource)
}

// Refresh asks for an access token with a refresh token (RFC 6749 6), which stays the caller's. It is sent once:
// whether to send it again is for the caller to judge, httpc.Unsent tells whether the provider can have seen it.
//
// The new Tokens.Refresh, if any, replaces rt and must be kept even when an error comes with it. An ID token in the
// answer that fails a check is left out (Tokens.IDError); its subject has to be compared with that of the login by the
// caller (OpenID Connect Core 12.2).
func (c *Client) Refresh(ctx context.Context, rt secret.Text, r Request) (Tokens, error) {
	form, err := c.grantForm("refresh_token", r)
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh: %w", err)
	}
	if rt.Empty() {
		return Tokens{}, errors.New("refresh: there is no refresh token")
	}
	form.Set("refresh_token", rt.Expose())
	return c.grant(ctx, call{
		op: "refresh", request: RequestRefresh, form: form, extra: r.Extra, keep: r.Keep, repeat: r.Repeat,
	})
}

// ClientCredentials asks for a token of the client itself (RFC 6749 4.4).
func (c *Client) ClientCredentials(ctx context.Context, r Request) (Tokens, error) {
	form, err := c.grantForm("client_credentials", r)
	if err != nil {
		return Tokens{}, fmt.Errorf("client credentials: %w", err)
	}
	return c.grant(ctx, call{op: "client credentials", request: RequestCredentials, form: form, extra: r.Extra})
}

// Password asks for tokens with a person's password (RFC 6749 4.3). It exists for oidc-gen -w password only.
func (c *Client) Password(ctx context.Context, user string, pw secret.Text, r Request) (Tokens, error) {
	form, err := c.grantForm("password", r)
	if err != nil {
		return Tokens{}, fmt.Errorf("password grant: %w", err)
	}
	form.Set("username", user)
	form.Set("password", pw.Expose())
	t, id, err := c.token(ctx, call{op: "password grant", request: RequestPassword, form: form, extra: r.Extra})
	if err != nil {
		return t, err
	}
	return c.loggedIn(ctx, t, idCheck{raw: id})
}

// ExchangeRequest is a token exchange (RFC 8693 2.1).
type ExchangeRequest struct {
	Request
	Subject       secret.Text
	SubjectType   string // "" = access token; always sent
	Actor         secret.Text
	ActorType     string // "" = access token; sent with an Actor only
	RequestedType string // "" = the provider's choice
}

// Exchange trades a token for another. When the provider issues a refresh token as asked for by RequestedType, it is in
// Tokens.Refresh and Access is empty.
func (c *Client) Exchange(ctx context.Context, r ExchangeRequest) (Tokens, error) {
	form, err := c.grantForm("urn:ietf:params:oauth:grant-type:token-exchange", r.Request)
	if err != nil {
		return Tokens{}, fmt.Errorf("token exchange: %w", err)
	}
	if r.Subject.Empty() {
		return Tokens{}, errors.New("token exchange: there is no subject token")
	}
	form.Set("subject_token", r.Subject.Expose())
	form.Set("subject_token_type", cmp.Or(r.SubjectType, typeAccessToken))
	if !r.Actor.Empty() {
		form.Set("actor_token", r.Actor.Expose())
		form.Set("actor_token_type", cmp.Or(r.ActorType, typeAccessToken))
	}
	if r.RequestedType != "" {
		form.Set("requested_token_type", r.RequestedType)
	}
	return c.grant(ctx, call{op: "token exchange", request: RequestExchange, form: form, extra: r.Extra})
}

// grant runs a request in which no person logs in.
func (c *Client) grant(ctx context.Context, q call) (Tokens, error) {
	t, id, err := c.token(ctx, q)
	if err != nil {
		return t, err
	}
	return c.renewed(ctx, t, id), nil
}
