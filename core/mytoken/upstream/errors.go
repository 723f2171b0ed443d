package upstream

import (
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

var (
	// ErrConfig is returned by New for a configuration that cannot be; it is joined from one error for each fault.
	ErrConfig = errors.New("configuration of a provider")
	// ErrSubject says that the provider contradicts itself about who has logged in. It comes with desk.ErrNoSubject.
	ErrSubject = errors.New("the provider names two different subjects")
	// ErrClaims says that a claim source gave no answer that can be used: restrictions that depend on it are not known,
	// so that nothing may be issued. It comes with desk.ErrDown.
	ErrClaims = errors.New("a claim source gave no usable answer")
)

// DownError says why a provider cannot be asked: its endpoints are not known. Nothing was sent.
type DownError struct {
	Issuer string
	Reason string    // printable
	Next   time.Time // when it is looked for again
}

func (e *DownError) Error() string { return e.Issuer + ": " + desk.ErrDown.Error() + ": " + e.Reason }

// Unwrap returns desk.ErrDown.
func (e *DownError) Unwrap() error { return desk.ErrDown }
