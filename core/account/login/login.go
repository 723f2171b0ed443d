// Package login is what the PAM helper and the provisioner say to each other over a Unix socket: may this person, with
// this secret, log in as that local user. One connection carries one question and one answer, each one line of JSON.
//
// The client trusts nobody: it looks at the owner of the socket and at the uid behind it, waits no longer than it is
// told, and takes anything but a clear yes as a no. The server bounds question and time, and says who asks.
//
// It decides nothing (the provisioner does), reads no PAM environment (applets/pam does), and speaks no HTTP.
//
// Not a public API.
package login

import "github.com/oidcbox/oidcbox/core/secret"

// Phase is which part of a login asks.
type Phase string

// The phases: Auth comes with a secret, Account without one (may a user who was let in by a key still come in).
const (
	Auth    Phase = "auth"
	Account Phase = "account"
)

// Question is what the helper asks.
type Question struct {
	Phase  Phase       `json:"phase"`
	User   string      `json:"user"`
	Secret secret.Text `json:"-"`                 // on the wire as "secret"
	Remote string      `json:"remote,omitempty"`  // PAM_RHOST
	Via    string      `json:"service,omitempty"` // PAM_SERVICE
}

// Answer is what it is told. The zero value is a no.
type Answer struct {
	// Allowed is the decision.
	Allowed bool `json:"allowed"`
	// State of the account, as core/account/state has it.
	State string `json:"state,omitempty"`
	// ID is the identity behind the local user, as core/account/names writes it; with Allowed it is never empty.
	ID string `json:"id,omitempty"`
	// Reason is for the log of the host: one line, no secret in it.
	Reason string `json:"reason,omitempty"`
}
