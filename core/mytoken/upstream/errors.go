package upstream

import (
	"errors"
	"time"
)

var (
	// ErrConfig is returned by New for a configuration that cannot be; it is joined from one error for each fault.
	ErrConfig = errors.New("configuration of a provider")
	// ErrUnknown says that there is no provider of that issuer.
	ErrUnknown = errors.New("the provided issuer is not supported")
	// ErrNotReady says that the endpoints of a provider are not known yet, because it could not be reached; nothing was
	// sent. It comes inside a *NotReadyError.
	ErrNotReady = errors.New("provider is not available at the moment")
	// ErrNoRefresh says that a login gave no refresh token: the provider does not allow offline access to this client.
	ErrNoRefresh = errors.New("did not receive a refresh token")
	// ErrNoSubject says that nothing that the provider gave says who has logged in.
	ErrNoSubject = errors.New("could not get the subject from the provider")
	// ErrSubject says that the provider contradicts itself about who has logged in.
	ErrSubject = errors.New("the provider names two different subjects")
	// ErrUnasked says that an access token could be for something that was not asked for, or not be what was. It wraps
	// rules.ErrWithheld or rules.ErrExcess.
	ErrUnasked = errors.New("the access token is not what was asked for")
	// ErrAudience says that an audience cannot be asked for at this provider; nothing was sent.
	ErrAudience = errors.New("the provider cannot be asked for this audience")
	// ErrRecord says that a record of a login is none of this provider.
	ErrRecord = errors.New("not a login that was begun here")
	// ErrClaims says that a claim source gave no answer that can be used: restrictions that depend on it are not known,
	// so that nothing may be issued.
	ErrClaims = errors.New("a claim source gave no usable answer")
)

// NotReadyError says why a provider is not available, and when it will be asked again.
type NotReadyError struct {
	Issuer string
	Reason string // printable
	Next   time.Time
}

func (e *NotReadyError) Error() string {
	return e.Issuer + ": " + ErrNotReady.Error() + ": " + e.Reason
}

// Unwrap returns ErrNotReady.
func (e *NotReadyError) Unwrap() error { return ErrNotReady }
