// Package service is the agent itself: it holds logins, gets access tokens for them and answers the requests of the
// agent's socket and of the control socket.
//
// A login lives on one of two shelves. The disk shelf is the person's keystore, the truth for logins that were saved;
// it exists while the keystore is unlocked. The memory shelf holds what a client loaded over the socket, sealed under
// a key of this process, and serves without any keystore. Both keep refresh tokens through core/oidc/custody, so that
// one refresh is under way per login and a rotated token is durable before its access token is handed out. Access
// tokens are cached sealed, per login, scopes and audience, with bounded counts.
//
// Flows that need a person (authorization code, device) are kept as pending entries, bounded in number and time; the
// waiting and the browser are the client's business (applets/gen).
//
// It does not listen (applets/agent does), does not speak a wire format (core/agent/proto and control do), chooses no
// storage engine and asks no person anything: questions go through the Confirm function it was given.
//
// Standards: RFC 6749, 7591, 7592, 7009, 8628, 8707 through core/oidc; OpenID Connect Discovery.
//
// Not a public API.
package service
