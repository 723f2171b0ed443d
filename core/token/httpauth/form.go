package httpauth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/oidcbox/oidcbox/core/token/gate"
)

// fromForm returns access_token of a form in the body, "" for none. What it has read it puts back.
func fromForm(r *http.Request, most int64) (string, *gate.Refusal) {
	if !hasForm(r) {
		return "", nil
	}
	if r.PostForm != nil && isParsed(r.Method) { // somebody has read the body before us
		return fromParsed(r.PostForm["access_token"])
	}
	if most <= 0 {
		most = defaultMaxForm
	}
	if r.ContentLength > most {
		return "", tooLarge(ErrFormTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return "", unreadable(err)
	}
	if int64(len(body)) > most {
		return "", tooLarge(ErrFormTooLarge)
	}
	r.Body = again{bytes.NewReader(body), r.Body}
	token, twice := parameter(string(body))
	if twice {
		return "", malformed("access_token may be sent once only", ErrTwoTokens)
	}
	return token, nil
}

// hasForm follows RFC 6750 section 2.2: a single form in the body of a request whose method gives bodies a meaning.
func hasForm(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "":
		return false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	// A content type with a broken parameter is still the one it begins with.
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && kind == "application/x-www-form-urlencoded"
}

// isParsed reports whether net/http reads the form of such a request; of others it leaves the body, and an empty
// PostForm.
func isParsed(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func fromParsed(values []string) (string, *gate.Refusal) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", malformed("access_token may be sent once only", ErrTwoTokens)
}

func tooLarge(err error) *gate.Refusal {
	return &gate.Refusal{
		Status: http.StatusRequestEntityTooLarge, Code: gate.InvalidRequest, Err: err,
		Description: "the form is too large",
	}
}

func unreadable(err error) *gate.Refusal {
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return tooLarge(fmt.Errorf("%w: %w", ErrForm, err))
	}
	return malformed("the body could not be read", fmt.Errorf("%w: %w", ErrForm, err))
}

// again is a body that begins anew with what was read of it.
type again struct {
	io.Reader
	io.Closer
}
