package pages

import (
	"errors"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/provision"
)

// Codes of refusals, shown small beside the words so that a person can tell them to somebody.
const (
	codeForeign   = "foreign_request" // the browser says that another site sent it
	codeStale     = "stale_form"      // the form belongs to another browser, session or link
	codeLanding   = "login_gone"      // a browser comes back from a login that is not its own, or is over
	codeSession   = "session_gone"    // nobody is logged in
	codeRequest   = "bad_request"     // no browser with our forms sends that
	codeTooMany   = "too_many"        // too often
	codeProvider  = "provider_failed" // the provider does not answer, or makes no sense
	codeDenied    = "access_denied"   // the person said no at the provider
	codeForbidden = "forbidden"       // logged in, and not one of those who may
	codeRefused   = "refused"         // the account is refused: assurance, no free name
	codeLink      = "link_gone"       // a link of a mail that is not ours, or over
	codeNowhere   = "not_found"
	codeLater     = "try_later"
	codeInternal  = "internal_error"
)

// fault is a refusal that a person is told about.
type fault struct {
	status int
	code   string
	text   string        // for the person, where the words of the code are not all; it may be a stranger's
	retry  time.Duration // when to try again, 0 where that does not help
	err    error         // for the log
}

func (f *fault) Error() string {
	if f.err == nil {
		return f.code
	}
	return f.code + ": " + f.err.Error()
}

func (f *fault) Unwrap() error { return f.err }

func gone(code string, err error) *fault {
	status := http.StatusNotFound
	if code == codeSession {
		status = http.StatusUnauthorized
	}
	return &fault{status: status, code: code, err: err}
}

func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{status: http.StatusInternalServerError, code: codeInternal, err: err}
}

// judged puts the refusal of an access token into one of ours. A token that is not believed any more was revoked or has
// expired: the login is over.
func judged(err error) error {
	var no *httpapi.Error
	switch {
	case !errors.As(err, &no):
		return err
	case no.RetryAfter > 0 || no.Status == http.StatusServiceUnavailable:
		return &fault{status: http.StatusServiceUnavailable, code: codeLater, retry: no.RetryAfter, err: err}
	case no.Status == http.StatusUnauthorized:
		return &fault{status: no.Status, code: codeSession, err: err}
	case no.Status == http.StatusForbidden:
		return &fault{status: no.Status, code: codeForbidden, err: err}
	}
	return err
}

// asDesk puts what the desk says of an account into a refusal of ours.
func asDesk(err error) error {
	var (
		rejected *provision.Rejection
		failed   *provision.Failure
	)
	switch {
	case errors.As(err, &rejected):
		return &fault{status: http.StatusForbidden, code: codeRefused, text: rejected.Message, err: err}
	case errors.Is(err, provision.ErrMismatch):
		return &fault{status: http.StatusForbidden, code: codeRefused, err: err}
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, provision.ErrBusy), errors.As(err, &failed):
		return &fault{status: http.StatusServiceUnavailable, code: codeLater, retry: time.Minute, err: err}
	}
	return err
}

// asLink puts what is wrong with a link into a refusal of ours.
func asLink(err error) error {
	switch {
	case errors.Is(err, approval.ErrLink), errors.Is(err, approval.ErrOver):
		return gone(codeLink, err)
	}
	return err
}

// reason is why, for the audit: our own words.
func reason(err error) string {
	f := asFault(err)
	var no *httpapi.Error
	if errors.As(err, &no) {
		return f.code + ": " + no.Reason()
	}
	return f.code
}

// errorWords are what a person is told of a refusal.
type errorWords struct {
	Title  string
	Text   string // what it means
	Do     string // what can be done now
	Said   string // of others: shown as such
	Detail string
	Home   bool // a link to the start helps
}

func wordsOf(f *fault) errorWords {
	w := wordsOfCode(f.code)
	w.Detail, w.Said = f.code, plain(f.text)
	return w
}

func wordsOfCode(code string) errorWords {
	switch code {
	case codeForeign:
		return errorWords{
			Title: "This came from another site",
			Text:  "Another web site made your browser send something here. Nothing was done.",
			Do:    "If you did want it, begin again on a page of this service.", Home: true,
		}
	case codeStale:
		return errorWords{
			Title: "This page is out of date",
			Text:  "The page was open for long, or you have logged in or out in the meantime. Nothing was done.",
			Do:    "Go back, reload the page, and try again. The browser has to allow cookies.", Home: true,
		}
	case codeLanding:
		return errorWords{
			Title: "This login does not belong here",
			Text:  "This login was not begun in this browser, or it is over. Nobody was logged in.",
			Do:    "If somebody sent you the link, do not use it. Else begin again.", Home: true,
		}
	case codeProvider:
		return errorWords{
			Title: "The login did not work",
			Text:  "The provider where you log in did not answer, or with an error.",
			Do:    "Try again. If it goes on, tell those who run this service.", Home: true,
		}
	case codeDenied:
		return errorWords{
			Title: "You are not logged in", Text: "You, or your provider, said no to the login.",
			Do: "Begin again if that was not meant.", Home: true,
		}
	}
	return wordsOfAccount(code)
}

func wordsOfAccount(code string) errorWords {
	switch code {
	case codeForbidden:
		return errorWords{
			Title: "You may not use this service",
			Text:  "You are logged in at your provider, and you are none of those who may log in here.",
			Do:    "Ask those who run this service, or choose another of your accounts.", Home: true,
		}
	case codeRefused:
		return errorWords{
			Title: "You get no account here",
			Text:  "This service makes or keeps no account for you as things are. Nothing was changed.",
			Do:    "Tell those who run this service what is said below.", Home: true,
		}
	case codeLink:
		return errorWords{
			Title: "This link is over",
			Text:  "It was decided already, what is asked for has changed since, it has expired, or the address is not complete.",
			Do:    "A newer mail has a newer link. The command “oidcbox provisioner admin pending” lists what waits.",
		}
	case codeTooMany:
		return errorWords{
			Title: "Too often", Text: "This was tried too often.", Do: "Wait a little, and try again.", Home: true,
		}
	case codeLater:
		return errorWords{
			Title: "Not just now", Text: "Something that is needed does not answer at present. Nothing was changed.",
			Do: "Try again in a few minutes.", Home: true,
		}
	case codeNowhere:
		return errorWords{Title: "There is nothing here", Text: "This page does not exist.", Home: true}
	case codeRequest:
		return errorWords{Title: "This cannot be read", Text: "What the browser sent makes no sense here.", Home: true}
	}
	return errorWords{
		Title: "Something went wrong", Text: "That is not your fault, and it is written down.",
		Do: "Try again. If it goes on, tell those who run this service.", Home: true,
	}
}
