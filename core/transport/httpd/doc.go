// Package httpd is how every HTTP server of ours starts, limits, answers failures and stops.
//
// [Serve] puts the same limits on every listener: time for headers, request and answer, size of headers and body,
// number of connections. [Handle] turns a function that returns an error into a handler: an [*Error] becomes its
// status with the JSON body of RFC 6749 section 5.2, anything else becomes a 500 that tells the caller nothing and the
// log what happened. A panic is contained in its request.
//
// It has no routes and no middleware of its own, reads no certificates and does not know who is asking.
//
// Standards: RFC 6749 section 5.2 (error bodies), RFC 6750 section 3 (WWW-Authenticate), RFC 9111 (no-store).
//
// Not a public API.
package httpd
