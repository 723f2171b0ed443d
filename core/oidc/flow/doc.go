// Package flow speaks the OAuth 2.0 and OpenID Connect grants as a client: authorization code with PKCE, device code,
// refresh, client credentials, token exchange, the password grant, and the endpoints around them (revocation,
// introspection, userinfo). A [Client] belongs to one provider and one client registration; a [Listener] takes the
// redirect of a browser on the loopback interface.
//
// It keeps nothing: whose refresh token is used when, and where the next one goes, is core/oidc/custody. It does not
// repeat requests on its own, except while a device code is polled: whether a request may be sent twice depends on what
// it does to a refresh token. It does not look into access tokens.
//
// golang.org/x/oauth2 makes the authorization URL and the PKCE values. The requests to the token endpoint are our own,
// because that library cannot narrow scope or audience at a refresh, tries out ways of authentication by sending the
// secret twice, reads JSON loosely, and puts whole answers into its errors.
//
// Standards: RFC 6749, 6750, 7009 (revocation), 7636 (PKCE), 7662 (introspection), 8252 (native apps), 8628 (device),
// 8693 (exchange), 8707 (resource), 9207 (iss), OpenID Connect Core 1.0.
//
// Not a public API.
package flow
