package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// DefaultTime is how long Ask waits, and how long Serve gives a handler, when they are not told.
const DefaultTime = 3 * time.Second

// AskOptions say whom to trust.
type AskOptions struct {
	// Trust accepts the uid of whoever owns the socket and its directory and listens there; nil is root alone.
	Trust func(uid uint32) bool
}

// Ask puts one question to whoever listens at path. It returns by the deadline of ctx, or after DefaultTime where that
// has none. The error is ErrNobody, ErrForeign, ErrLate, ErrAnswer, ErrQuestion, or the system's; with one the answer
// is a no.
func Ask(ctx context.Context, path string, q Question, o AskOptions) (Answer, error) {
	if o.Trust == nil {
		o.Trust = func(uid uint32) bool { return uid == 0 }
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTime)
	defer cancel()
	c, err := sock.DialPatientServedBy(ctx, path, o.Trust)
	if err != nil {
		return Answer{}, reason(ctx, err)
	}
	defer c.Close()
	// Not only the deadline: somebody may end ctx before.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return Answer{}, reason(ctx, err)
	}
	if err := q.write(c); err != nil {
		return Answer{}, reason(ctx, err)
	}
	a, err := readAnswer(c)
	if err != nil {
		return Answer{}, reason(ctx, err)
	}
	return a, nil
}

// reason turns an error of the connection into one of ours.
func reason(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, sock.ErrNobody):
		return fmt.Errorf("%w: %w", ErrNobody, err)
	case errors.Is(err, sock.ErrForeign), errors.Is(err, sock.ErrNotSocket), errors.Is(err, sock.ErrNoPeer):
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrLate, err)
	}
	return fmt.Errorf("ask about a login: %w", err)
}
