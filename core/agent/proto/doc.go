// Package proto is the socket protocol of oidc-agent: one request and one answer per connection over a Unix stream
// socket, as a bare JSON object or under a key exchange (X25519 and secretbox), both on the same socket.
//
// [Serve] answers connections for a [Handler]; [Client] asks. Every connection is independent: one that is silent, slow
// or hostile costs one bounded buffer and delays nobody.
//
// It is not a policy: which login may be used, what a token is and who may lock the agent is core/agent/service. It
// does not look for a running agent beyond the list of well-known places in [Sockets], and it starts none. The
// encryption has no authentication of either side (it only keeps tokens out of traces); who is at the other end is
// known from the socket, see core/transport/sock.
//
// Framing of the original is "whatever one read gives". Here a message is complete when its JSON object, its key or its
// cipher text is; every message is written in one piece and the connection closed right after the answer, because
// clients of the original rely on both.
//
// The client half is a public API of the module.
package proto
