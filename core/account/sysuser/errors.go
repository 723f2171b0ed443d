package sysuser

import "errors"

var (
	// ErrNone: neither files nor name service know such a user or group.
	ErrNone = errors.New("no such user or group")
	// ErrUnavailable: it could not be found out: a file that cannot be read, getent that fails or takes too long.
	ErrUnavailable = errors.New("users of this host cannot be looked up")
)
