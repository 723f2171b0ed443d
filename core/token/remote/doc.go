// Package remote asks issuers what they say of a token now: by introspection as a client of theirs, and at their
// userinfo endpoint. Source.Ask is for a token whose signature was checked already and adds what only the issuer knows
// (revoked, closed account, claims of the person); Source.Opaque is for a token that nobody but its issuer can read.
//
// Strangers decide what is asked about, so everything they can cause is bounded: one request at a time for one token,
// a budget of requests for each issuer (two of them: whoever sends invented tokens cannot use up what the known ones
// need), answers kept for a stated time in bounded memory under the SHA-256 of the token, refusals for seconds in a
// table of their own, a pause while an issuer is down. Nobody is asked who is not configured, and nothing that looks
// like a JWT is ever shown to an issuer to find out whose it is.
//
// It checks no signature and no audience of ours, and it decides nothing about what the bearer may do. What cannot be
// asked is ErrUnavailable and no fault of the bearer.
//
// Standards: RFC 7662 (introspection), OpenID Connect Core 1.0 section 5.3 (userinfo), RFC 6749 section 2.3.1 (client
// authentication), RFC 6750 section 3.1 (refusals of the userinfo endpoint). Signed answers (RFC 9701, JWT userinfo)
// are refused.
//
// Not a public API.
package remote
