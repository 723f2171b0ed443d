// Package upstream is the OpenID providers that a mytoken server talks to. A [Registry] is made from what an operator
// says of each of them; it finds their endpoints in the background, so that a server starts while one is down, says so,
// and comes back by itself. A [Provider] logs people in (code flow with PKCE, device flow), gets access tokens with
// their refresh tokens, compares what came with what was asked for, and revokes.
//
// A login is begun and finished by different processes: what finishing needs is a small secret record, and nothing of a
// login is kept here. What providers do differently is data: [Kinds] has a row of [Quirks] for each make, and an
// operator can say otherwise.
//
// It keeps no refresh tokens (core/oidc/custody does), counts no uses (core/mytoken/ledger does) and decides about no
// restriction but what the provider makes of it (core/mytoken/rules has the rules). It never goes to an address that
// a request or an answer names: issuers and claim sources are configured, endpoints come from the issuer's document.
//
// [Guest] is a provider without people, inside the server, to try it out.
//
// Standards: OpenID Connect Core and Discovery 1.0, RFC 6749, 7009 (revocation), 7523 (private_key_jwt), 7636 (PKCE),
// 8414, 8628 (device), 8707 (resource), 9126 (PAR), 9207 (iss).
//
// Not a public API.
package upstream
