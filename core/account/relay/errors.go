package relay

import "errors"

var (
	// ErrOptions: one of the sides cannot be made of its options.
	ErrOptions = errors.New("relay is not configured")
	// ErrNode: the other side showed no certificate of a node that is known here.
	ErrNode = errors.New("not a node of this cluster")
	// ErrServer: the central server answered with something else than an answer.
	ErrServer = errors.New("central server gave no answer")
)
