// Package dpop checks DPoP proofs: that whoever presents an access token holds the key the token is bound to, and means
// this very request.
//
// A [Checker] makes the checks of RFC 9449 section 4.3 in their whole: one proof, its type, algorithm, key and
// signature, the request it was made for, its age, the token it belongs to, the key that token names, and that it was
// not used before. What was used is remembered for as long as it could be used again; the memory has limits, for all
// and for each key, and what does not fit is refused and never forgotten instead. Nonces (section 9) are made without
// memory.
//
// It does not look at the access token: core/token/verify does, and hands its hash and the thumbprint in cnf over.
//
// Standards: RFC 9449, RFC 7638, RFC 3986 section 6.2.2 and 6.2.3 for comparing URLs.
//
// Not a public API.
package dpop
