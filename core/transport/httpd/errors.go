package httpd

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a failure the caller is told about.
type Error struct {
	Status      int    // 400 to 599
	Code        string // "invalid_request": the error member of RFC 6749 section 5.2
	Description string // for a developer; characters the RFC forbids are replaced when it is sent
	Header      http.Header
	// Err is the cause, for the log only: it is never sent.
	Err error
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%d %s", e.Status, e.Code)
	if e.Description != "" {
		msg += ": " + e.Description
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *Error) Unwrap() error { return e.Err }

// Refuse returns an [*Error] that the caller sees as status, code and description.
func Refuse(status int, code, description string) *Error {
	return &Error{Status: status, Code: code, Description: description}
}

// Unauthorized returns the 401 of RFC 6750 section 3. With code "" the caller sent no token at all, and is told no
// error.
func Unauthorized(realm, code, description string) *Error {
	e := Refuse(http.StatusUnauthorized, code, description)
	challenge := `Bearer realm="` + Quotable(realm) + `"`
	if code != "" {
		challenge += `, error="` + Quotable(code) + `"`
	}
	if description != "" {
		challenge += `, error_description="` + Quotable(description) + `"`
	}
	e.Header = http.Header{"Www-Authenticate": {challenge}}
	return e
}

// Quotable returns s with every character outside of %x20-21 / %x23-5B / %x5D-7E (RFC 6749 section 5.2) replaced by
// "?", at most 200 bytes: safe in an error description and inside a quoted string of a header.
func Quotable(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}

// known maps err to what the caller is told, or to nil when it is our own trouble.
func known(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return Refuse(http.StatusRequestEntityTooLarge, "invalid_request", "the request body is too large")
	}
	return nil
}
