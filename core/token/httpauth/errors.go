package httpauth

import (
	"errors"
	"net/http"

	"github.com/oidcbox/oidcbox/core/token/gate"
)

var (
	// ErrConfig is returned by Open: the configuration has no issuer, no audience, or faults that the error lists.
	ErrConfig = errors.New("protection is not configured")
	// ErrTwoTokens: a token was sent in more than one way, or twice in one (RFC 6750 section 2).
	ErrTwoTokens = errors.New("request carries more than one token")
	// ErrHeader: the Authorization header is no scheme with credentials (RFC 9110 section 11.6.2).
	ErrHeader = errors.New("malformed Authorization header")
	// ErrQueryToken: the only token is in the query, where none is looked for.
	ErrQueryToken = errors.New("no token was sent but in the query, which is not enabled")
	// ErrForm: the form in the body could not be read to its end.
	ErrForm = errors.New("form in the body cannot be read")
	// ErrFormTooLarge: the form is larger than may be searched for a token.
	ErrFormTooLarge = errors.New("form in the body is too large to be searched for a token")
	// ErrTokenTooLarge: the token is longer than one may be.
	ErrTokenTooLarge = errors.New("token is too long")
)

// malformed is the 400 of RFC 6750 section 3.1.
func malformed(description string, err error) *gate.Refusal {
	return &gate.Refusal{
		Status: http.StatusBadRequest, Code: gate.InvalidRequest, Description: description, Err: err,
	}
}
