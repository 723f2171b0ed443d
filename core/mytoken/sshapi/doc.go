// Package sshapi is the ssh server of a mytoken server: a person's key, with a user name that is a secret, gets access
// tokens and what else the mytoken behind it may do, where there is no mytoken on disk.
//
// One connection is one command of one or three words. Each command becomes a request of the HTTP API within the
// process, with the mytoken that lies under the user name: so it is judged, counted, limited and written down there, in
// the same words. There is no terminal, no forwarding, no subsystem, no environment and no file. Whoever is silent,
// slow or large is cut off; so is who guesses.
//
// It keeps no state: which user name goes with which key, and what lies under it, is the desk's. It adds no keys: that
// takes a login, over HTTP.
//
// Standards: RFC 4252 section 7, RFC 4254 section 6.5; the mytoken API's ssh grant; the PROXY protocol, versions 1
// and 2.
//
// Not a public API.
package sshapi
