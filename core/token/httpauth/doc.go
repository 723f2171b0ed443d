// Package httpauth protects HTTP handlers with access tokens. [Open] takes who is trusted and who may do what and gives
// a middleware of the standard form; a handler behind it asks [FromContext] who is there:
//
//	auth, err := httpauth.Open(httpauth.Config{Issuers: issuers, Audiences: audiences, Policy: yaml})
//	http.Handle("/api/", auth.Require(api))
//	who, _ := httpauth.FromContext(r.Context()) // in a handler: who.Issuer, who.Subject, who.Claims
//
// A service that needs more (opaque tokens, revocation, limits for single issuers) makes a gate itself and calls [New].
//
// Its parts are there for whoever answers in another way: [Extract] reads the token of a request, [Challenge] says no
// as the RFCs want it.
//
// It does not judge tokens and fetches nothing itself (core/token/gate does), and keeps nothing between requests. It is
// no proxy: core/token/forward answers the questions of one.
//
// What is promised: [Open], [Config], [Auth.Require], [Auth.Admit], [Auth.Close], [FromContext], [Options], [Ways],
// [Challenge] and the behaviour written at them, within a major version; not [New], whose gate may change. A handler
// behind Require runs only when the gate said yes; the token is taken from exactly one place of the request; every
// refusal has a status, a WWW-Authenticate header where the RFCs want one, Cache-Control: no-store and a JSON body with
// error, error_description and error_details; and nothing of the token, no reason beyond what [gate.Refusal] tells and
// no name of a trusted issuer is in it. New fields may be added to structs; their zero value changes nothing.
//
// Standards: RFC 6750 (2: ways to send a token, 3: challenges), RFC 9449 section 7 (DPoP), RFC 9728 section 5
// (resource_metadata), RFC 9110 section 11 (authentication), RFC 8705 (client certificates).
package httpauth
