// Package grant makes and ends tokens with one client of a provider, as control.GrantRequest and control.RevokeRequest
// describe it: for the agent, with the client of a login, and for a command with a client from files.
//
// It keeps nothing, and it neither finds the provider nor explains its refusals: both differ between the two.
//
// Standards: RFC 6749 4.4, RFC 7009, RFC 7662, RFC 8693.
//
// Not a public API.
package grant

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

const offline = "offline_access"

// Run gets tokens. Where the refresh token is to be kept, it is asked for. The error is that of the flow; a refresh token
// beside it has to be kept all the same.
func Run(ctx context.Context, cl *flow.Client, r control.GrantRequest) (flow.Tokens, error) {
	req := flow.Request{Scope: strings.Fields(r.Scope), Audience: strings.Fields(r.Audience), Resource: r.Resource}
	if r.Kind == control.GrantCredentials {
		return cl.ClientCredentials(ctx, req)
	}
	if r.SaveAs != "" && !slices.Contains(req.Scope, offline) {
		req.Scope = append(req.Scope, offline)
	}
	return cl.Exchange(ctx, flow.ExchangeRequest{
		Request: req, Subject: r.Subject, SubjectType: r.SubjectType, RequestedType: r.RequestedType,
	})
}

// Login is the login that the refresh token of an exchange becomes. It has the client of base and nothing else of it:
// what it is for was settled by the exchange, and to delete the client is not its business. The secrets are shared with
// base and t.
func Login(base login.Config, r control.GrantRequest, t flow.Tokens) login.Config {
	scopes := strings.Fields(t.Scope)
	if len(scopes) == 0 {
		scopes = strings.Fields(r.Scope)
	}
	scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == offline })
	c := base
	c.Name, c.ClientName, c.RefreshToken = r.SaveAs, "", t.Refresh
	c.RegistrationURI, c.RegistrationToken = "", secret.Text{}
	c.AuthScope = strings.Join(scopes, " ")
	c.Scope, c.RefreshScope, c.Audience = "", c.AuthScope, strings.TrimSpace(r.Audience)
	return c
}

// End revokes a token and asks what the provider says of it afterwards: one of the Confirmed constants of control. hint is
// that of RFC 7009. The error is that of the revocation: nothing is known to be revoked then.
func End(ctx context.Context, cl *flow.Client, token secret.Text, hint string) (confirmed string, err error) {
	if err := cl.Revoke(ctx, token, hint); err != nil {
		return "", err
	}
	o, err := cl.Introspect(ctx, token)
	switch active, _ := o.Bool("active"); {
	case errors.Is(err, flow.ErrNoEndpoint):
		return control.ConfirmedNotOffered, nil
	case err != nil:
		return control.ConfirmedUnknown, nil
	case active:
		return control.ConfirmedActive, nil
	}
	return control.ConfirmedInactive, nil
}
