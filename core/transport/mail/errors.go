package mail

import (
	"errors"
	"fmt"
)

var (
	// ErrAddress is returned for a text that is no mail address, or one of a form that is not taken here.
	ErrAddress = errors.New("not a mail address of the usual form")
	// ErrMessage is returned for a message that must not be sent as it is: a mistake of the caller.
	ErrMessage = errors.New("not a message that can be sent")
	// ErrConfig is returned by New for settings that do not go together.
	ErrConfig = errors.New("mail settings do not go together")
	// ErrNotLoopback is returned by Open when a connection without encryption does not end on this machine.
	ErrNotLoopback = errors.New("the mail server is not on this machine, and the connection would not be encrypted")
	// ErrNoAuth is returned by Open when the server takes no password in a way that is spoken here.
	ErrNoAuth = errors.New("the mail server offers neither PLAIN nor LOGIN for the user name and password")
	// errLost stands for all that the library says of a lost connection, which may quote what was sent.
	errLost = errors.New("the connection to the mail server was lost")
	// ErrTooMuch is returned when the server answers with more than any server would.
	ErrTooMuch = errors.New("the mail server sends too much")
)

// Error is a failure of the mail server, or of the way to it. It never holds an address or the text of a message, and
// nothing of what the server said but its codes.
type Error struct {
	Stage string // "connect", "sender", "recipient", "message"
	Code  int    // of the reply, 0 without one
	Extra string // enhanced status code (RFC 3463), such as "5.1.1"; "" without one
	// Permanent says that the server refused this very message or its recipient for good.
	Permanent bool
	// Unknown says that the message was handed over and no answer came: the server may have taken it.
	Unknown bool
	Err     error // the cause where there is no reply
}

func (e *Error) Error() string {
	switch {
	case e.Code != 0 && e.Extra != "":
		return fmt.Sprintf("send mail: %s: the server answers %d (%s)", e.Stage, e.Code, e.Extra)
	case e.Code != 0:
		return fmt.Sprintf("send mail: %s: the server answers %d", e.Stage, e.Code)
	}
	return fmt.Sprintf("send mail: %s: %v", e.Stage, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
