// Package relay lets the login nodes of a cluster share one provisioner: on a node Client takes the questions of the
// PAM helper, and what users ask over HTTP, to the central server; there Handler answers them. A one-time password
// that was made at one node is known at every other, because there is one book.
//
// Both sides show certificates: the node believes the CA that it was given and nobody else, the server takes nodes by
// name. A node is believed about where a login comes from, and about nothing else. Nothing is kept on a node, and
// nothing is tried twice: a server that does not answer in time is a no.
//
// It opens no file and listens nowhere, and decides about no login.
//
// Standards: RFC 8446 (TLS 1.3), RFC 5280 (names in certificates), RFC 9110 (what a proxy forwards).
//
// Not a public API.
package relay
