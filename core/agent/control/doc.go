// Package control is the agent's second socket: what belongs to the person at this machine and never travels over a
// forwarded connection (opening and locking the keystore, its slots, the logins in it, backup, shutdown).
//
// It is HTTP/1.1 with JSON bodies on a Unix socket. [Serve] answers for a [Backend]; [Client] has the same methods. The
// peer must have our uid: not even root is served, because root has better ways and a mistake of root's tools should
// not open a user's keystore. Secrets travel in bodies only, never in paths, headers or logs.
//
// It is not the oidc-agent protocol (core/agent/proto) and holds no state of its own.
//
// Not a public API.
package control
