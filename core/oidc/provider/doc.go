// Package provider knows OpenID providers and OAuth authorization servers by their issuer: where their endpoints are
// (discovery) and with which keys they sign (a cache of key sets).
//
// An issuer is compared byte for byte with what its document says. Only [DiscoverTyped], for what a person typed, adds
// or drops one slash at the end, and says so. Nothing here decides which issuer is trusted: a caller asks only for
// issuers that are configured, never for one that a token names by itself.
//
// Keys has the key sets: one fetch at a time and issuer, in the background before a set is too old, seldom for key ids
// that nobody has heard of, less and less often while an issuer is down; the old set serves until it expires. With a
// [Dir] they outlive the process, and several processes share what one of them has learned. [Keys.Drop] is for the day a
// key was stolen.
//
// It is not an HTTP client (core/transport/httpc is, with the limits on time, size, redirects and schemes) and it
// speaks no OAuth flow (core/oidc/flow does).
//
// Standards: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3, RFC 7517 section 5, RFC 9207, RFC 9111 section
// 5.2.2 (max-age), WLCG Common JWT Profile 1.3 section 4.3.1 (lifetimes).
//
// Not a public API.
package provider
