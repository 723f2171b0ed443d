// Package jose reads and writes compact JWS tokens and JWK sets, strictly.
//
// Everything that decides whether a token is well formed is done here, before a library sees it: the split into three
// parts, canonical base64url, one pass of strict JSON (no repeated member at any level, no bytes that are not UTF-8,
// nothing after the object, bounded depth and number of members), the algorithm allow-list, typ, cty, crit and b64, and
// the choice of a key. What touches cryptography is library.go alone: it is given one key or one signature at a time,
// with an algorithm that was chosen here (docs/decisions/0002).
//
// It is not a JWT verifier: it knows nothing of issuers, audiences and times (core/token/verify does), and it fetches
// no keys (core/oidc/provider does). There are no encrypted tokens (JWE), no JSON serialisations, no HMAC, no "none".
//
// Standards: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (algorithms), RFC 7638 (thumbprints), RFC 8037 and RFC 9864
// (Ed25519), RFC 8725 (best practice), RFC 6750 section 2.1 (characters of a bearer token).
//
// Not a public API.
package jose
