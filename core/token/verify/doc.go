// Package verify decides whether a bearer token is to be believed, and by whom it was issued to whom.
//
// [Verifier.Verify] goes through one list of checks in one order: cheap and local first, nothing fetched before the
// issuer is known to be trusted, nothing of the claims used before the signature is right, except iss to find the keys.
// A refusal is a typed error with a text for the operator; it repeats nothing that stood in the token. Whether the
// bearer may do what it wants (scopes, groups) is decided elsewhere, with the [Identity] this package returns.
//
// With a [Cache] a token that comes again costs little more than its hash: what is kept is that the signature was
// right, by which set of keys, and the claims. Nothing else is: issuer, times, audience and proof are judged for
// every request, and when the keys of the issuer change, what they verified is forgotten. [Verifier.VerifyWith] takes
// tokens that are bound to a key or a certificate, with the proof of it.
//
// It does not read HTTP requests, and it takes no opaque tokens.
//
// Standards: RFC 6750, RFC 7519, RFC 7800, RFC 8705, RFC 8725, RFC 9068, RFC 9449, WLCG Common JWT Profile 1.3,
// SciTokens 2.0.
package verify
