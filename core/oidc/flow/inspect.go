package flow

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Revoke ends a token (RFC 7009). hint is "refresh_token", "access_token" or "". A token the provider does not know is
// revoked too. A refusal is tried once more with client_id in the body, which some providers want beside basic
// authentication.
func (c *Client) Revoke(ctx context.Context, token secret.Text, hint string) error {
	err := c.revoke(ctx, token, hint, false)
	var e *Error
	if errors.As(err, &e) && !Temporary(err) {
		if method, methodErr := c.authMethod(); methodErr == nil && method == authBasic {
			return c.revoke(ctx, token, hint, true)
		}
	}
	return err
}

func (c *Client) revoke(ctx context.Context, token secret.Text, hint string, withID bool) error {
	form := url.Values{"token": {token.Expose()}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	if withID {
		form.Set("client_id", c.cc.ID)
	}
	resp, secrets, err := c.post(ctx, call{
		op: "revocation", request: RequestRevocation, form: form,
		endpoint: "revocation_endpoint", target: c.md.RevocationEndpoint,
	})
	if err != nil {
		return err
	}
	// Success has no content to speak of (2.2); only a JSON object with "error" in it contradicts the status.
	o, _ := jose.StrictObject(resp.Body, maxDepth, maxMembers)
	s, _ := o.String("error")
	if resp.Status < 200 || resp.Status > 299 || s != "" {
		return c.refused("revocation", resp, o, secrets)
	}
	return nil
}

// Introspect asks the provider about a token (RFC 7662). The answer has a boolean "active"; nothing else in it counts
// unless that is true.
func (c *Client) Introspect(ctx context.Context, token secret.Text) (jose.Object, error) {
	resp, secrets, err := c.post(ctx, call{
		op: "introspection", form: url.Values{"token": {token.Expose()}}, repeat: true,
		endpoint: "introspection_endpoint", target: c.md.IntrospectionEndpoint,
	})
	if err != nil {
		return jose.Object{}, err
	}
	defer clear(resp.Body)
	o, err := c.statement("introspection", resp, secrets)
	if err != nil {
		return jose.Object{}, err
	}
	if _, err := o.Bool("active"); err != nil || !o.Has("active") {
		return jose.Object{}, &Error{
			Op: "introspection", Issuer: c.md.Issuer, Status: 200, Err: fmt.Errorf("%w: no boolean active in it", ErrAnswer),
		}
	}
	return o, nil
}

// Userinfo returns the claims about the person behind an access token (OpenID Connect Core 5.3). Whoever knows a
// subject compares it with "sub" before using anything else (5.3.2).
func (c *Client) Userinfo(ctx context.Context, at secret.Text) (jose.Object, error) {
	target, err := c.endpoint("userinfo_endpoint", c.md.UserinfoEndpoint)
	if err != nil {
		return jose.Object{}, fmt.Errorf("userinfo: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return jose.Object{}, fmt.Errorf("userinfo: %w", ErrNoEndpoint)
	}
	token := at.Expose()
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(ctx, req)
	if err != nil {
		return jose.Object{}, fmt.Errorf("userinfo: %w", err)
	}
	defer clear(resp.Body)
	o, err := c.statement("userinfo", resp, []string{token})
	if err != nil {
		return jose.Object{}, err
	}
	if sub, err := o.String("sub"); err != nil || sub == "" {
		return jose.Object{}, &Error{
			Op: "userinfo", Issuer: c.md.Issuer, Status: 200, Err: fmt.Errorf("%w: no sub in it", ErrAnswer),
		}
	}
	return o, nil
}

// statement reads what a provider states about a token: status 200 and nothing else, and plain JSON. A signed answer
// (RFC 9701, OpenID Connect Core 5.3.2) has claims that nobody here would check.
func (c *Client) statement(op string, resp *httpc.Response, secrets []string) (jose.Object, error) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.Status > 200 && resp.Status < 300:
		return jose.Object{}, c.unreadable(op, resp, errors.New("its status is not 200"))
	case resp.Status == 200 && (kind == "application/jwt" || strings.HasSuffix(kind, "+jwt")):
		return jose.Object{}, c.unreadable(op, resp, errors.New("it is a signed one (JWT), which was not asked for"))
	}
	return c.object(op, resp, secrets)
}

func (c *Client) unreadable(op string, resp *httpc.Response, why error) error {
	return &Error{Op: op, Issuer: c.md.Issuer, Status: resp.Status, Err: fmt.Errorf("%w: %w", ErrAnswer, why)}
}
