// Package forward answers the question a reverse proxy asks before it lets a request through: nginx auth_request,
// Traefik ForwardAuth, Caddy forward_auth and Envoy ext_authz over HTTP. [New] returns one handler for any number of
// protected services, found by host and path; a yes is exactly 200 with the identity in headers, a no is the
// challenge of RFC 6750 in the form the proxy at hand passes on.
//
// Where method, host and path of the original request are read is decided by the address the proxy was configured to
// ask ([Proxy.Address]), never by which headers happen to be there. A request whose path another server could read in
// another way is refused, and so is one that brings an identity header in any spelling: the proxy ought to have deleted
// it. Every answer has every identity header, empty when there is nothing to say.
//
// It judges no token (core/token/gate does), opens no socket, and does not know which caller is the proxy: whoever
// mounts it lets nobody else ask.
//
// Standards: RFC 6750, RFC 9728, RFC 4918 section 9.8 and 9.9 (COPY, MOVE), RFC 9440 (client certificates), WLCG Common
// JWT Profile 1.3.
//
// Not a public API.
package forward
