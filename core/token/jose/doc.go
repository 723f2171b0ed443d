// Package jose reads and writes compact JWS tokens and JWK sets, strictly.
//
// Everything that decides whether a token is well formed is done here, before a library sees it: the split into three
// parts, canonical base64url, one pass of strict JSON (no repeated member at any level, no bytes that are not UTF-8,
// nothing after the object, bounded depth and number of members), the algorithm allow-list, typ, cty, crit and b64, and
// the choice of a key. The library behind the wall (jwx) parses one key at a time and checks one signature with a key
// and an algorithm that we chose; no type of it appears in an exported signature.
//
// It is not a JWT verifier: it knows nothing of issuers, audiences and times (core/token/verify does), and it fetches
// no keys (core/oidc/provider does). Encrypted tokens (JWE), the JSON serialisations, HMAC and "none" do not exist here.
//
// Standards: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (algorithms), RFC 7638 (thumbprints), RFC 8037 and RFC 9864
// (Ed25519), RFC 8725 (best practice), RFC 6750 section 2.1 (characters of a bearer token).
//
// Not a public API.
package jose
