package control

import "errors"

var (
	// ErrNoAgent is returned by every Client method when nobody listens at the control socket.
	ErrNoAgent = errors.New("no agent of ours is running")

	// ErrTooLarge is returned for a body above 1 MiB.
	ErrTooLarge = errors.New("body is too large")

	// ErrCut is returned by Client.Backup when the copy is not whole.
	ErrCut = errors.New("backup was cut short")

	errTrailing = errors.New("something follows the JSON value")
)
