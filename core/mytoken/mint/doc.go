// Package mint makes mytokens that are JWTs, and checks them. They are a profile of their own: the header is alg and
// typ MT+JWT and nothing else, exp is optional, aud is one string and the issuer itself, sub is derived from the
// person at the provider, jti stays the same when the token rotates.
//
// It is not what decides about a use: a token that checks may be revoked, replaced or used up, which its row in the
// store says, and its restrictions are the matter of core/mytoken/rules. Short tokens and transfer codes are no JWTs
// and are not made here.
//
// Standards: the mytoken API, token version 0.7; RFC 7515, RFC 7519, RFC 9562 section 5.4 (jti), RFC 9449 section 6.1
// (cnf, where a mytoken is bound to a key).
//
// Not a public API.
package mint
