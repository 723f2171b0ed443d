// Package registration registers a client at a provider, and reads, changes and deletes the registration later.
//
// It runs no grant and stores nothing: the [Client] it returns has secrets that the caller keeps. Whether the scopes
// that the provider granted are enough is the caller's decision; [Client.Missing] says which are not there.
//
// Standards: RFC 7591 (registration), RFC 7592 (management), OpenID Connect Dynamic Client Registration 1.0
// (application_type).
//
// Not a public API.
package registration
