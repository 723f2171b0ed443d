package mail

import (
	"errors"
	"net/textproto"

	gomail "github.com/wneessen/go-mail"
)

// failure is one before a message was begun: always worth another try, since the message has nothing to do with it.
func failure(stage string, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return &Error{Stage: stage, Code: reply.Code}
	}
	return &Error{Stage: stage, Err: err}
}

// sendFailure is one of a message. Once its end was on the way only a reply proves that it was not taken; a text without
// an end is not (RFC 5321 section 4.1.1.4).
func sendFailure(err error) error {
	var e *gomail.SendError
	if !errors.As(err, &e) {
		return &Error{Stage: "message", Unknown: true, Err: err}
	}
	out := &Error{Stage: "message", Code: e.ErrorCode(), Extra: e.EnhancedStatusCode()}
	switch e.Reason {
	case gomail.ErrSMTPMailFrom:
		out.Stage = "sender" // it is the same for all messages: a fault of the settings, not of this one
	case gomail.ErrSMTPRcptTo:
		out.Stage, out.Permanent = "recipient", out.Code >= 500
	case gomail.ErrSMTPData:
		out.Permanent = out.Code >= 500
	case gomail.ErrSMTPDataClose:
		out.Permanent, out.Unknown = out.Code >= 500, out.Code == 0
	case gomail.ErrConnCheck:
		out.Stage = "connect"
	}
	if out.Code == 0 {
		out.Err = errLost
	}
	return out
}
