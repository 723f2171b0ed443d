// Package custody keeps refresh tokens, so that no login is ever lost through our doing.
//
// A refresh token may be replaced at each use, and a provider that sees a replaced one again may end the login. So
// for each login there is one refresh in flight, across goroutines, processes and nodes that share a store; what is
// about to be sent is recorded durably before it is sent; and a new refresh token is durable before the access token
// that came with it is handed out. Whether a provider replaces refresh tokens at all is learned, or told: where it
// keeps them, refreshes run side by side.
//
// What remains is the moment between the provider's answer and our reading it. A process that dies there leaves the
// record of its intent behind. The next refresh sends the old token once more: a provider with a grace period
// answers, a strict one says invalid_grant, and the result is [ErrLoginAgain] at once, without further attempts.
//
// Custody knows no HTTP and no OAuth grammar: the call to the provider is a [Refresher], usually a client of
// core/oidc/flow. It does not encrypt: the store it is given is a sealed one. It does not cache access tokens.
//
// Standards: RFC 6749 section 6, RFC 9700 section 4.14.2 (rotation and the detection of reuse).
//
// Not a public API.
package custody
