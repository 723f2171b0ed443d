// Package issuertest starts the development provider inside a test: [Start] serves core/oidc/issuer on a loopback
// port, and the [Server] has what a test needs around it: a browser without a browser, tokens in one call, restarts
// with and without the state.
//
// It speaks plain http, which loopback may, and has no TLS. A provider of another make is testdata/services.
//
// Not a public API; for tests only, so it may use store/memstore.
package issuertest
