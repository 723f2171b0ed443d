package provider

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrIssuerURL: what was given cannot be an issuer: not an https URL, or one with query, fragment or user name.
	ErrIssuerURL = errors.New("not an issuer URL")
	// ErrNoMetadata: the server answered, but has no discovery document at any of the well-known places.
	ErrNoMetadata = errors.New("no discovery document found")
	// ErrMetadata: there is a discovery document, and it is not usable.
	ErrMetadata = errors.New("discovery document is not usable")
	// ErrUnavailable: the key set of an issuer could not be had; trying again later may help.
	ErrUnavailable = errors.New("key set is not available")
	// ErrUnknownKey: the key set is at hand and has no key for this token.
	ErrUnknownKey = errors.New("issuer has no such key")
	// ErrNotKept: the issuer is none of those whose keys this cache was told to keep.
	ErrNotKept = errors.New("issuer is not one whose keys are kept")
	// ErrNotForgotten: keys were dropped in memory, but the directory could not be changed, and a process that starts will
	// find them there.
	ErrNotForgotten = errors.New("keys are still in the directory")
	// ErrCrowd: so many wait for the keys of this issuer that one more may not. It comes inside an *UnavailableError.
	ErrCrowd = errors.New("too many wait for them")
	// ErrClosed: the cache was closed.
	ErrClosed = errors.New("key cache is closed")
)

// IssuerError: the discovery document names another issuer than the one it was asked for (RFC 8414 section 3.3).
type IssuerError struct{ Want, Got string }

func (e *IssuerError) Error() string {
	return fmt.Sprintf("discovery document of %s says its issuer is %q", e.Want, e.Got)
}

// StatusError: an answer that is not 200.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string { return fmt.Sprintf("GET %s: status %d", e.URL, e.Status) }

// UnavailableError is an ErrUnavailable with what happened and when the next attempt will be made at the earliest.
type UnavailableError struct {
	Issuer     string
	RetryAfter time.Duration
	Err        error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("key set of %s is not available: %v", e.Issuer, e.Err)
}

// Unwrap gives ErrUnavailable and the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Err} }
