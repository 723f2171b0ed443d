package profiles

import (
	"errors"
	"strconv"
)

var (
	// ErrRequest says that a request, or a template in it, is not what it has to be.
	ErrRequest = errors.New("request cannot be expanded")
	// ErrName says that a text can be no name of a template.
	ErrName = errors.New("not a name of a template")
	// ErrUnknown says that there is no template of a name. An *UnknownError has the name.
	ErrUnknown = errors.New("unknown include name")
	// ErrLoop says that a template includes itself, or that templates include each other too deep or too often.
	ErrLoop = errors.New("templates include each other without end")
	// ErrKind says that there is no such kind of template.
	ErrKind = errors.New("no such kind of template")
)

// UnknownError names a template that there is not. Its text is the API's.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	q := strconv.QuoteToASCII(e.Name)
	return ErrUnknown.Error() + ": '" + q[1:len(q)-1] + "'"
}

// Unwrap returns ErrUnknown.
func (e *UnknownError) Unwrap() error { return ErrUnknown }
