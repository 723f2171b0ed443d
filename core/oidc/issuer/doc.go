// Package issuer is the engine of the development provider: an OpenID provider and OAuth authorization server that
// behaves as the issuers of WLCG communities do, for tests, demonstrations and development.
//
// It serves discovery, keys with rotation, authorization code with PKCE, the device flow, refresh with rotation and
// revocation of the whole family on reuse, client credentials, token exchange by a policy table, registration with
// management, introspection, revocation and userinfo. Access tokens are JWTs of RFC 9068 with the claims of the WLCG
// profile. Its state lives in a store.Engine, every code and token in it as a hash, every decision that must be made
// once in one Update. Clients authenticate with a secret or a key (private_key_jwt), and may push their authorization
// requests.
//
// It is not for production: people sign in without a password, and registration is open. It has no pairwise subjects,
// no encryption of tokens, no logout and no request objects, and it does not listen by itself (core/transport/httpd
// does).
//
// # Faults
//
// Real providers fail, so this one can be told to: see [Fault]. [Issuer.Requests] shows what clients really sent.
//
// Standards: OpenID Connect Core and Discovery, RFC 6749, 6750, 7009, 7523, 7591, 7592, 7636, 7662, 8252, 8414, 8628, 8693,
// 8707, 9068, 9126, 9207, 9700, and the WLCG Common JWT Profile 1.3.
//
// Not a public API.
package issuer
