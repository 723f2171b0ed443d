package remote

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrConfig: the configuration makes no sense, or would ask nobody.
	ErrConfig = errors.New("asking issuers is not configured rightly")
	// ErrInactive: the issuer was asked and says that the token is not valid (any more), or is none of its own.
	ErrInactive = errors.New("issuer says that the token is not active")
	// ErrContradiction: the issuer says the token is active and speaks of another token, person or issuer.
	ErrContradiction = errors.New("what the issuer says contradicts the token")
	// ErrKind: the issuer knows the token as something else than an access token.
	ErrKind = errors.New("issuer says that this is no access token")
	// ErrAmbiguous: several issuers say that an opaque token is theirs.
	ErrAmbiguous = errors.New("several issuers say that the token is theirs")
	// ErrUntrusted: the issuer that was named is none whose opaque tokens are taken, or there is none at all.
	ErrUntrusted = errors.New("issuer is not trusted with opaque tokens")
	// ErrNotOpaque: what was presented is no opaque token: a JWT or what looks like one, too long, or not made of the
	// characters of RFC 6750 section 2.1.
	ErrNotOpaque = errors.New("not an opaque token")
	// ErrUnavailable: the issuer could not be asked; nothing was decided about the token. It is always an
	// *UnavailableError.
	ErrUnavailable = errors.New("issuer could not be asked about the token")
	// ErrLimited: asking now would be more than the issuer is to be asked. It comes inside an *UnavailableError.
	ErrLimited = errors.New("too many questions to the issuer")
	// ErrCrowd: so many wait for answers of this issuer that one more may not. It comes inside an *UnavailableError.
	ErrCrowd = errors.New("too many wait for answers of the issuer")
	// ErrClient: the issuer refuses the client that we introspect with; an operator has to look at its secret. It comes
	// inside an *UnavailableError, because the bearer cannot help it.
	ErrClient = errors.New("issuer refuses our client")
	// ErrClosed: the source was closed. It comes inside an *UnavailableError.
	ErrClosed = errors.New("source is closed")
)

// UnavailableError is ErrUnavailable with what happened. Its text is for the operator: what a provider wrote is in it,
// made printable and without the token.
type UnavailableError struct {
	Issuer     string
	RetryAfter time.Duration // when asking again may help; at least a second
	Err        error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v (%s): %v", ErrUnavailable, e.Issuer, e.Err)
}

// Unwrap gives ErrUnavailable and the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Err} }
