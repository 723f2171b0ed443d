package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/dpop"
)

var (
	// ErrConfig: the configuration of a verifier makes no sense or would trust too much.
	ErrConfig = errors.New("verifier is not configured")
	// ErrUntrustedIssuer: iss is missing or is not, byte for byte, a trusted issuer.
	ErrUntrustedIssuer = errors.New("issuer is not trusted")
	// ErrNoKey: the issuer's key set is at hand and has no key for this token.
	ErrNoKey = errors.New("issuer has no key that fits the token (kid, alg, use)")
	// ErrExpired: exp has passed.
	ErrExpired = errors.New("token has expired")
	// ErrNotYet: nbf lies ahead.
	ErrNotYet = errors.New("token is not valid yet")
	// ErrIssuedAhead: iat lies ahead: a clock is wrong somewhere.
	ErrIssuedAhead = errors.New("token was issued in the future")
	// ErrTimes: the times contradict each other or are out of range.
	ErrTimes = errors.New("times of the token make no sense")
	// ErrLifetime: the token lives longer than its issuer may make it.
	ErrLifetime = errors.New("token lives longer than is allowed for its issuer")
	// ErrUnbound: the scheme is DPoP and the token is bound to no key (RFC 9449 section 7.1).
	ErrUnbound = errors.New("token was presented with DPoP and is bound to no key")
	// ErrScheme: a token was presented in a way that is neither Bearer nor DPoP.
	ErrScheme = errors.New("scheme of the token is not supported")
	// ErrCertificate: the client's certificate is not the one the token is bound to.
	ErrCertificate = errors.New("token is bound to another certificate than the client's")
)

// TimeError is ErrExpired, ErrNotYet or ErrIssuedAhead with the distance to now.
type TimeError struct {
	Err error
	By  time.Duration
}

func (e *TimeError) Error() string {
	if errors.Is(e.Err, ErrExpired) {
		return fmt.Sprintf("%v: %v ago", e.Err, e.By.Round(time.Second))
	}
	return fmt.Sprintf("%v: %v ahead", e.Err, e.By.Round(time.Second))
}

func (e *TimeError) Unwrap() error { return e.Err }

// AudienceError: the token is for somebody else, or for nobody (Got is empty). Got is what the token says; it is not
// part of the text.
type AudienceError struct{ Want, Got []string }

func (e *AudienceError) Error() string {
	if len(e.Got) == 0 {
		return "token has no audience (aud)"
	}
	return fmt.Sprintf("token is for another audience, not for %s", strings.Join(e.Want, " or "))
}

// Reason is one line for the operator that says why err came about. It holds nothing that stood in the token and is not
// meant for the bearer, who is told no more than "invalid token".
func Reason(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// Temporary reports whether the same token may be accepted later without anybody doing anything: the keys could not be
// had, there is no room for another proof, or the time for it ran out. That is no fault of the bearer (HTTP 503, not
// 401).
func Temporary(err error) bool {
	return errors.Is(err, provider.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, dpop.ErrTooMany)
}
