package issuer

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Error codes of the protocols. Each constructor below makes one answer.
const (
	codeInvalidRequest = "invalid_request"
	codeInvalidGrant   = "invalid_grant"
	codeInvalidScope   = "invalid_scope"
	codeInvalidTarget  = "invalid_target"
	codeInvalidToken   = "invalid_token"
	codeAccessDenied   = "access_denied"
)

func bad(code, description string) error {
	return httpd.Refuse(http.StatusBadRequest, code, description)
}

func badRequest(description string) error { return bad(codeInvalidRequest, description) }

func badGrant(description string) error { return bad(codeInvalidGrant, description) }

func badScope(description string) error { return bad(codeInvalidScope, description) }

func badTarget(description string) error { return bad(codeInvalidTarget, description) }

// errFull is for a table that strangers fill: try again later.
func errFull() error {
	e := httpd.Refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "too many requests are pending")
	e.Header = http.Header{"Retry-After": {"30"}}
	return e
}

// errClient is for failed client authentication (RFC 6749 section 5.2). The challenge is only for who used HTTP Basic.
func errClient(realm string, basic bool) error {
	e := httpd.Refuse(http.StatusUnauthorized, "invalid_client", "client authentication failed")
	if basic {
		e.Header = http.Header{"Www-Authenticate": {`Basic realm="` + httpd.Quotable(realm) + `"`}}
	}
	return e
}
