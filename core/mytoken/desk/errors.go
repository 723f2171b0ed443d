package desk

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Codes of refusals that are the API's own (member "error").
const (
	CodeRequest      = "invalid_request"
	CodeGrant        = "invalid_grant"
	CodeToken        = "invalid_token"
	CodeExpired      = "expired_token"
	CodePending      = "authorization_pending"
	CodeDenied       = "access_denied"
	CodeCapabilities = "insufficient_capabilities"
	CodeRestricted   = "usage_restricted"
	CodeMail         = "mail_required"
	CodeOIDC         = "oidc_error"
	CodeNotFound     = "not_found"
	CodeNotYet       = "not_yet_implemented"
	CodeInternal     = "internal_server_error"
	CodeTooMany      = "too_many_requests"
	CodeProof        = "invalid_dpop_proof" // RFC 9449 section 5
	CodeNonce        = "use_dpop_nonce"     // RFC 9449 section 9
)

// StatusProvider is the HTTP status that says that the provider misbehaved.
const StatusProvider = 555

var (
	// ErrOptions is returned by New for options that make no server.
	ErrOptions = errors.New("mytoken server is not configured")
	// ErrAttributes is returned by a Provider for a person who may not have a mytoken at all: the claims that select the
	// enforced restrictions say so, or are missing where they are required.
	ErrAttributes = errors.New("you do not have the required attributes to use this service")
	// ErrDown is returned by a Provider that cannot be asked now: its metadata were never read, or it does not answer.
	ErrDown = errors.New("the provider does not answer")
	// ErrNoRefresh is returned by a Provider whose login gave no refresh token.
	ErrNoRefresh = errors.New("did not receive a refresh token")
	// ErrNoSubject is returned by a Provider that does not say who has logged in.
	ErrNoSubject = errors.New("could not get 'subject' from id token")
	// ErrNoDevice is returned by a Provider that has no device flow.
	ErrNoDevice = errors.New("the provider offers no login with a device code")
	// ErrPending is returned by a Provider while the person has not decided about a device code.
	ErrPending = errors.New("authorization is pending")
	// ErrSlowDown is ErrPending with the wish for a longer interval (RFC 8628 section 3.5).
	ErrSlowDown = errors.New("polling too fast")
)

// Error is a request that is refused, in the words of the API. Nothing in it is a secret; Description may repeat what
// the request or the provider said, cut.
type Error struct {
	Status      int
	Code        string // member "error"
	Description string // member "error_description", "" for none
	RetryAfter  time.Duration
	Nonce       string // for the header DPoP-Nonce, with CodeNonce
	Err         error  // the reason for logs and for errors.Is
}

func (e *Error) Error() string {
	text := fmt.Sprintf("refused with %d %s", e.Status, e.Code)
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// refuse makes an Error.
func refuse(status int, code, description string, reason error) *Error {
	return &Error{Status: status, Code: code, Description: description, Err: reason}
}

func badRequest(description string, reason error) *Error {
	return refuse(http.StatusBadRequest, CodeRequest, description, reason)
}

func badToken(description string, reason error) *Error {
	return refuse(http.StatusUnauthorized, CodeToken, description, reason)
}
