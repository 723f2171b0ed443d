package forward

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/token/gate"
)

var (
	// ErrRequest: the proxy's question is not one of those it was configured to ask, or it lets headers through that it
	// has to delete.
	ErrRequest = errors.New("request of the proxy is not acceptable")
	// ErrDenied: what the client asks for is refused whoever it is.
	ErrDenied = errors.New("request is refused to everybody")
)

func badRequest(why string) *gate.Refusal {
	return &gate.Refusal{
		Status: http.StatusBadRequest, Code: gate.InvalidRequest, Description: why,
		Err: reason{ErrRequest, why},
	}
}

// denied is a 403 without a code of RFC 6750: no other token would do.
func denied(why string) *gate.Refusal {
	return &gate.Refusal{Status: http.StatusForbidden, Description: why, Err: reason{ErrDenied, why}}
}

// nowhere is denied for a request that no service has. The log names the host, which the client is not told.
func nowhere(p Proxy, host string) *gate.Refusal {
	no := denied("nothing is served here")
	no.Err = reason{ErrDenied, fmt.Sprintf("no service behind %s has host %q and this path", p, host)}
	return no
}

func failed(err error) *gate.Refusal {
	return &gate.Refusal{Status: http.StatusInternalServerError, Description: "the request could not be checked", Err: err}
}

// reason is a sentinel with what exactly was wrong.
type reason struct {
	kind error
	why  string
}

func (r reason) Error() string { return r.kind.Error() + ": " + r.why }
func (r reason) Unwrap() error { return r.kind }
