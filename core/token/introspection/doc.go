// Package introspection answers RFC 7662: a service posts a token and is told whether it is active, and what is known
// of it. So every service with an introspection client is served by the same gate as the rest: the same issuers,
// audiences, policy and caches. [New] returns the handler.
//
// A token is active when the gate says yes for the service that asks. Of one that is not, nothing else is said, not
// even why; that goes to the observer of the gate. Keys that cannot be had are a 503, never "inactive": a client must
// not take an outage for a verdict. A token that is bound to a key (RFC 9449, RFC 8705) is inactive, because the
// service that asks holds the proof and we do not.
//
// It is no authorisation server: it knows no token of its own, revokes nothing, and signs no answers (RFC 9701). How it
// is reached (a Unix socket, TCP behind TLS) is the daemon's business.
//
// Standards: RFC 7662, RFC 6749 sections 2.3.1 (client credentials) and 5.2 (errors), RFC 7617 (Basic).
//
// Not a public API.
package introspection
