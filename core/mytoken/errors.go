package mytoken

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var (
	// ErrPending says that the person has not yet decided on the consent page; poll again.
	ErrPending = errors.New("the person has not decided yet")
	// ErrDeclined says that the person, or the server for him, said no.
	ErrDeclined = errors.New("the request was declined")
	// ErrExpired says that a polling or transfer code is too old.
	ErrExpired = errors.New("the code has expired")
	// ErrServer says that there is no mytoken server at a URL: no usable configuration document.
	ErrServer = errors.New("no mytoken server there")
	// ErrOtherServer says that a configuration document names another server than the one it was asked of.
	ErrOtherServer = errors.New("configuration document of another server")
	// ErrNotOffered says that the server has no endpoint for what was asked; nothing was sent.
	ErrNotOffered = errors.New("the mytoken server does not offer this")
	// ErrAnswer says that an answer is not what the protocol prescribes.
	ErrAnswer = errors.New("answer makes no sense")
	// ErrToken says that a text cannot be a mytoken, or has no claims to read; nothing was sent.
	ErrToken = errors.New("not a mytoken")
	// ErrRequest says that a profile, or an object in it, cannot be read.
	ErrRequest = errors.New("not a request for a mytoken")
	// ErrBusy says that other commands use the file of a mytoken all the time; try again later.
	ErrBusy = errors.New("other commands use the mytoken file all the time")
)

// Limits of texts that the server chooses.
const (
	maxCode        = 64
	maxDescription = 300
)

// codeProvider is the error code for what the provider behind the server said.
const codeProvider = "oidc_error"

// Error is a request that the server refused, or answered in a way that is no success. Its texts come from the server
// and are made printable, cut, and cleared of the secrets of the request.
//
// errors.As finds a *flow.Error in it as well: what the answer would mean were the mytoken a refresh token and the
// server its provider. What the provider behind the server said ("oidc_error") is then the error itself.
type Error struct {
	Op          string // "access token", "poll", ...
	Server      string // issuer of the server
	Status      int
	Code        string // member "error"; "" when the answer has none
	Description string
	RetryAfter  time.Duration // what the server asks for; 0 when it does not
	Err         error         // ErrAnswer, or nil
}

func (e *Error) Error() string {
	var what string
	switch {
	case e.Code != "" && e.Description != "":
		what = e.Code + ": " + e.Description
	case e.Code != "":
		what = e.Code
	case e.Status >= 300:
		what = strings.TrimSpace(fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status)))
	}
	if e.Err != nil {
		what = strings.TrimPrefix(what+": "+e.Err.Error(), ": ")
	}
	return e.Op + " at " + e.Server + ": " + what
}

// Unwrap returns ErrAnswer and its details where the answer could not be read.
func (e *Error) Unwrap() error { return e.Err }

// Is maps the server's codes onto the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrPending:
		return e.Code == "authorization_pending"
	case ErrDeclined:
		return e.Code == "access_denied"
	case ErrExpired:
		return e.Code == "expired_token"
	}
	return false
}

// As fills a **flow.Error.
func (e *Error) As(target any) bool {
	p, ok := target.(**flow.Error)
	if !ok {
		return false
	}
	fe := &flow.Error{
		Op: e.Op, Issuer: e.Server, Status: e.Status, Code: e.Code, Description: e.Description,
		RetryAfter: e.RetryAfter, Err: e.Err,
	}
	if code, description, ok := e.provider(); ok {
		fe.Code, fe.Description = code, description
	}
	*p = fe
	return true
}

// provider takes apart what the provider behind the server said: "<error>: <description>".
func (e *Error) provider() (code, description string, ok bool) {
	if e.Code != codeProvider {
		return "", "", false
	}
	code, description, _ = strings.Cut(e.Description, ":")
	if code = strings.TrimSpace(code); code == "" || cleanCode(code) != code {
		return "", "", false
	}
	return code, strings.TrimSpace(description), true
}

// Temporary reports whether trying again later may succeed: network faults, 408, 429 and 5xx.
func Temporary(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return httpc.Temporary(err)
	}
	return httpc.TemporaryStatus(e.Status)
}

// NeedsLogin reports whether the mytoken is of no use any more: expired, revoked, replaced, or the provider behind it
// wants to see the person.
func NeedsLogin(err error) bool { return flow.NeedsLogin(err) }

// cleanCode keeps an error code if it looks like one.
func cleanCode(s string) string {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./", r)
	}
	if len(s) > maxCode || strings.ContainsFunc(s, bad) {
		return "unreadable_error"
	}
	return s
}

// cleanText makes a server's text fit for one line: printable, short, without the secrets of the request.
func cleanText(s string, secrets []secret.Text) string {
	plain := make([]string, len(secrets))
	for i, t := range secrets {
		plain[i] = t.Expose()
	}
	s = flow.Mask(s, plain)
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}), " ")
	if len(s) > maxDescription {
		s = strings.ToValidUTF8(s[:maxDescription], "") + "..."
	}
	return s
}
