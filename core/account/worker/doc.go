// Package worker puts an account system behind a Unix socket, so that only a small process needs the right to change
// accounts: it runs as root (or holds a directory's password), and what talks to strangers runs without.
//
// The client is a backend.System. The server believes nothing it is told: it checks alphabet, floors and groups
// again, keeps its own record of which identity has which name and uid, which nothing that comes through the socket
// can change or take back, bounds how often accounts are made, and lets nobody touch an account that is not in that
// record. Whoever takes over the client's side can make federated accounts up to that rate and stop or end federated
// accounts that are there; not reach root, a local user, a group of the system, or give one identity another's
// account.
//
// It does not decide who may have an account (core/account/provision does), and it does not know how accounts are made
// (core/account/unixdir and the others do).
//
// docs/formats/worker.md has protocol and records. Not a public API.
package worker
