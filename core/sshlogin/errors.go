package sshlogin

import (
	"errors"
	"fmt"
)

var (
	// ErrNoService is returned by Find when no account service answers at any of the usual ports.
	ErrNoService = errors.New("no account service")

	// ErrNotService is returned when something answers that is not an account service.
	ErrNotService = errors.New("not an account service")

	// ErrAnswer is returned for an answer that makes no sense.
	ErrAnswer = errors.New("malformed answer of the account service")

	// ErrUser is returned when a service names a local user that could be anything else on a command line.
	ErrUser = errors.New("not a name for a user at an ssh command line")

	// ErrNoOTP is returned when a service gives no one-time passwords.
	ErrNoOTP = errors.New("the service gives no one-time passwords")

	// ErrPending is returned when somebody has to approve the account first.
	ErrPending = errors.New("the account waits for approval")

	// ErrWords is returned for a command line of ssh, scp or sftp that names no host, or that cannot be read.
	ErrWords = errors.New("command line cannot be used")
)

// CallError is an answer of a service that says no.
type CallError struct {
	Call   string // "get_status", "deploy", "generate_otp"
	Status int    // of HTTP
	Text   string // what the service says, not yet safe for a terminal
	Later  bool   // it says that asking again later may help: it could not ask the issuer, for one
}

// Error is the text that users of motley-cue's clients know.
func (e *CallError) Error() string {
	return fmt.Sprintf("Failed on %s: [HTTP %d] %s", e.Call, e.Status, e.Text)
}
