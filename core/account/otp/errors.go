package otp

import "errors"

var (
	// ErrUnknown: there is no such password: it was never made, it was used or burnt, or its time is over.
	ErrUnknown = errors.New("one-time password is not known")
	// ErrNotRight is returned by a judge for a login that the password is not for. It is not burnt.
	ErrNotRight = errors.New("one-time password is not for this login")
	// ErrOff: passwords of that form are switched off here.
	ErrOff = errors.New("one-time passwords are switched off")
	// ErrIdentity: there is no identity, or no local name, to bind a password to.
	ErrIdentity = errors.New("one-time password needs an identity and a local name")
	// ErrDamaged: a record is not what this package writes.
	ErrDamaged = errors.New("record of a one-time password is damaged")
)
