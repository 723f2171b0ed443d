package sock

import (
	"errors"
	"fmt"
)

var (
	// ErrNobody is returned by Dial when there is no socket, or nobody listens at it any more.
	ErrNobody = errors.New("nobody is listening")

	// ErrForeign is returned by Dial and Listen when directory, socket or peer belongs to somebody else, or others could
	// replace the socket.
	ErrForeign = errors.New("not trusted")

	// ErrPathTooLong is returned when the path does not fit into a socket address.
	ErrPathTooLong = errors.New("path of the socket is too long")

	// ErrNoPeer is returned by PeerOf where the system or the connection has no credentials.
	ErrNoPeer = errors.New("the system does not say who is at the other end")

	// ErrNotSocket is returned when the path is something else than a socket: it is never replaced.
	ErrNotSocket = errors.New("not a socket")
)

// InUseError is returned by Listen when somebody answers at the path.
type InUseError struct {
	Path string
	PID  int32 // 0 unknown
}

func (e *InUseError) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("socket %s is in use by process %d", e.Path, e.PID)
	}
	return fmt.Sprintf("socket %s is in use", e.Path)
}
