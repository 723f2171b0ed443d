package registration

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var (
	// ErrNoEndpoint says that there is no URL to send the request to: the provider has no open registration, or the
	// client came without a registration URI and token.
	ErrNoEndpoint = errors.New("there is no registration endpoint")

	// ErrAnswer says that an answer is not what RFC 7591 3.2.1 prescribes.
	ErrAnswer = errors.New("answer makes no sense")
)

// Error is a refusal (RFC 7591 3.2.2). Its texts come from the provider and are made printable and cut.
type Error struct {
	Op          string // "register", "read registration", ...
	Endpoint    string // host of the endpoint
	Status      int
	Code        string // "" when the answer has none
	Description string
	Err         error // ErrAnswer, or nil
}

func (e *Error) Error() string {
	what := fmt.Sprintf("provider answered %d %s", e.Status, http.StatusText(e.Status))
	switch {
	case e.Code != "" && e.Description != "":
		what = e.Code + ": " + e.Description
	case e.Code != "":
		what = e.Code
	case e.Err != nil:
		what = e.Err.Error()
	}
	return e.Op + " at " + e.Endpoint + ": " + what
}

// Unwrap returns ErrAnswer and its details where the answer could not be read.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same request may succeed later: network faults, 408, 429, 5xx.
func Temporary(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return httpc.TemporaryStatus(e.Status)
	}
	return httpc.Temporary(err)
}

// Gone reports whether the provider no longer knows the registration or its token (RFC 7592 2.1: 401; some say 404).
func Gone(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusNotFound || e.Status == http.StatusForbidden
}
