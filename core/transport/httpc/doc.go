// Package httpc is the one way out: every HTTP request of every role goes through a [Client], which bounds time, size
// of the answer and redirects, refuses plain http beyond the loopback interface, and knows the CA file and the proxies
// of the environment that was handed in.
//
// It does not retry after a failure (who may repeat a request depends on what it does), keeps no cookies, does not
// decompress, and knows nothing of OAuth: a [Response] with status 500 is no error here.
//
// Standards: RFC 9110 (redirects 15.4, Retry-After 10.2.3), RFC 8446/5246 (TLS 1.2 at least).
//
// Not a public API.
package httpc
