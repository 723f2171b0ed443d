// Package claims gives the payload of a token types: the registered claims, the scopes with their paths, and the
// profiles generic, wlcg, scitokens and at+jwt with what each of them requires.
//
// A claim of the wrong type is an error and never "absent". Nothing here looks at the clock, at keys or at who is
// trusted: that is core/token/verify. Entitlements and assurance values have packages of their own.
//
// Standards: RFC 7519 section 4, RFC 9068, WLCG Common JWT Profile 1.0 to 1.3, SciTokens 1.0 and 2.0, RFC 7800.
//
// Not a public API.
package claims
