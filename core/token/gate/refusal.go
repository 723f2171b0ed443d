package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// The error codes of RFC 6750 section 3.1 and RFC 9449 section 7.1.
const (
	InvalidRequest    = "invalid_request"
	InvalidToken      = "invalid_token"
	InsufficientScope = "insufficient_scope"
	InvalidDPoPProof  = "invalid_dpop_proof"
	UseDPoPNonce      = "use_dpop_nonce"
)

var (
	// ErrConfig: a gate cannot be made of this configuration.
	ErrConfig = errors.New("gate is not configured")
	// ErrNoToken: the client sent none.
	ErrNoToken = errors.New("no token was sent")
	// ErrNotAllowed: the token is believed, and the policy says no. *DecisionError has its reason.
	ErrNotAllowed = errors.New("the policy does not allow it")
)

// DecisionError is ErrNotAllowed with the policy's first reason, which names requirements and no values of claims.
type DecisionError struct{ Decision policy.Decision }

func (e *DecisionError) Error() string {
	if e.Decision.Reason == "" {
		return ErrNotAllowed.Error()
	}
	return fmt.Sprintf("%v: %s", ErrNotAllowed, e.Decision.Reason)
}

// Unwrap gives ErrNotAllowed.
func (e *DecisionError) Unwrap() error { return ErrNotAllowed }

// Refusal is a no. Everything but Err may be told to the client.
type Refusal struct {
	// Status is 400, 401, 403, 500 or 503.
	Status int
	// Code is the error of RFC 6750 section 3.1, or invalid_dpop_proof or use_dpop_nonce of RFC 9449. It is "" with 401
	// when no token was sent (then the challenge has no error), and with 500 and 503, which are no errors of that RFC.
	Code string
	// Description is one sentence for a developer: our own words in the characters of RFC 6750, nothing of the token,
	// and nothing about which issuers are trusted or which keys exist.
	Description string
	// Scope are the scopes with which a 403 would be a yes; nil when more than scopes is missing.
	Scope []string
	// RetryAfter is when asking again makes sense, in whole seconds, with 503.
	RetryAfter time.Duration
	// Nonce is for the header DPoP-Nonce with use_dpop_nonce (RFC 9449 section 9).
	Nonce string
	// Err is why, for the log only.
	Err error
}

// Error is for the log: it holds the reason, which the client is not told.
func (r *Refusal) Error() string {
	if r.Err == nil {
		return fmt.Sprintf("refused (%d): %s", r.Status, r.Description)
	}
	return fmt.Sprintf("refused (%d): %v", r.Status, r.Err)
}

// Unwrap gives the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// Reason is one line for the log.
func (r *Refusal) Reason() string {
	if r.Err == nil {
		return r.Description
	}
	return verify.Reason(r.Err)
}

// RefusalOf returns the Refusal in err; any other error is internal trouble, a 500 that tells nothing. nil stays nil.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r
	}
	return internal(err)
}

func internal(err error) *Refusal {
	return &Refusal{Status: http.StatusInternalServerError, Description: "the token could not be checked", Err: err}
}

// defaultRetry is what a client is told when nobody knows better.
const defaultRetry = 5 * time.Second

// refuse says what an error of the packages below means for the client. It is the only place that does (RFC 6750
// section 3.1): trouble of ours or of the issuer is never the bearer's, and what stands in an unverified token, who is
// trusted and which keys there are is not told.
func refuse(err error) *Refusal {
	var audience *verify.AudienceError
	var have *Refusal
	switch {
	case errors.As(err, &have):
		return have
	case errors.Is(err, ErrNoToken):
		return &Refusal{Status: http.StatusUnauthorized, Description: "a token is needed", Err: err}
	case errors.Is(err, ErrNotAllowed):
		return forbidden(err)
	case verify.Temporary(err), errors.Is(err, remote.ErrUnavailable):
		return unavailable(err)
	case errors.Is(err, dpop.ErrProof): // before what can be wrong with a token too
		return badProof(err)
	case errors.Is(err, jose.ErrCharacters):
		return &Refusal{
			Status: http.StatusBadRequest, Code: InvalidRequest, Err: err,
			Description: "the token has characters that no bearer token has",
		}
	case errors.Is(err, claims.ErrSenderConstrained):
		return invalid("the token is bound to a key and needs a proof of possession", err)
	case errors.Is(err, verify.ErrExpired):
		return invalid("the token has expired", err)
	case errors.As(err, &audience):
		return invalid("the token is not for this service", err)
	}
	return invalid("the token is not valid", err)
}

func invalid(description string, err error) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: InvalidToken, Description: description, Err: err}
}

// badProof is for a proof of possession that is not good, whatever the token (RFC 9449 sections 7.1 and 9).
func badProof(err error) *Refusal {
	r := &Refusal{
		Status: http.StatusUnauthorized, Code: InvalidDPoPProof, Err: err,
		Description: "the proof of possession is not valid",
	}
	var nonce *dpop.NonceError
	if errors.As(err, &nonce) {
		r.Code, r.Nonce = UseDPoPNonce, nonce.Next
		r.Description = "the proof of possession needs the nonce of this server"
	}
	return r
}

func forbidden(err error) *Refusal {
	r := &Refusal{
		Status: http.StatusForbidden, Code: InsufficientScope, Description: "the token does not allow this", Err: err,
	}
	var no *DecisionError
	if errors.As(err, &no) {
		r.Scope = no.Decision.InsufficientScope
	}
	return r
}

// unavailable is for keys or answers of an issuer that could not be had: another attempt may succeed.
func unavailable(err error) *Refusal {
	r := &Refusal{
		Status: http.StatusServiceUnavailable, RetryAfter: defaultRetry, Err: err,
		Description: "the token cannot be checked now",
	}
	var keys *provider.UnavailableError
	var asked *remote.UnavailableError
	switch {
	case errors.As(err, &keys) && keys.RetryAfter > 0:
		r.RetryAfter = wholeSeconds(keys.RetryAfter)
	case errors.As(err, &asked) && asked.RetryAfter > 0:
		r.RetryAfter = wholeSeconds(asked.RetryAfter)
	}
	if errors.Is(err, context.Canceled) { // the client has gone: nobody reads it
		r.Description = "the request was given up"
	}
	return r
}

// wholeSeconds rounds up, as Retry-After has no fractions.
func wholeSeconds(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
