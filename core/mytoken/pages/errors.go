package pages

import (
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// Codes of refusals that are the pages' own.
const (
	codeForeign = "foreign_request" // the browser says that another site sent it
	codeStale   = "stale_form"      // the form belongs to another browser, session or request
	codeRequest = "request_gone"    // the code of a consent page is over
	codeLanding = "login_gone"      // a browser comes back from a login that is not its own, or is over
)

func nowhere() *desk.Error {
	return &desk.Error{Status: http.StatusNotFound, Code: desk.CodeNotFound}
}

// errorWords are what a person is told of a refusal.
type errorWords struct {
	Title  string
	Text   string // what it means
	Do     string // what can be done now
	Detail string // as the server says it to programs; it may repeat texts of strangers
	Home   bool   // a link to the start helps
}

// wordsOf puts a refusal into words.
func wordsOf(e *desk.Error) errorWords {
	w := wordsOfCode(e)
	w.Detail = e.Code
	if e.Description != "" {
		w.Detail += ": " + e.Description
	}
	return w
}

func wordsOfCode(e *desk.Error) errorWords {
	switch e.Code {
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
	case codeRequest, desk.CodeExpired:
		return errorWords{
			Title: "This request is not there any more",
			Text:  "It has expired, was answered already, or the address is not complete.",
			Do:    "Go back to the program that asked you to come here, and start again there.",
		}
	case codeLanding:
		return errorWords{
			Title: "This login does not belong here",
			Text:  "This login was not begun in this browser, or it is over. Nothing was allowed.",
			Do:    "If somebody sent you the link: it would have given him access in your name. Else begin again.", Home: true,
		}
	case desk.CodeOIDC:
		return errorWords{
			Title: "The login did not work",
			Text:  "The provider where you log in has answered with an error.",
			Do:    "Try again. If it goes on, tell those who run the provider what is said below.", Home: true,
		}
	case desk.CodeCapabilities:
		return errorWords{
			Title: "Not allowed",
			Text:  "Your login here, or the mytoken you used, may not do this.",
			Do:    "Log out and in again, or use a mytoken with more capabilities.", Home: true,
		}
	case desk.CodeMail:
		return errorWords{
			Title: "No mail address", Text: "There is no mail address that mails can go to.",
			Do: "Set and confirm your mail address first.",
		}
	case desk.CodeRestricted:
		return errorWords{
			Title: "Not allowed now, or not from here",
			Text:  "The restrictions of the mytoken do not allow this use: its time, its place or its number of uses.",
			Home:  true,
		}
	}
	return wordsOfStatus(e)
}

func wordsOfStatus(e *desk.Error) errorWords {
	switch {
	case e.Status == http.StatusNotFound:
		return errorWords{
			Title: "There is nothing here", Text: "This page does not exist, or not any more.",
			Do: "Check the address.", Home: true,
		}
	case e.Status == http.StatusTooManyRequests:
		return errorWords{
			Title: "Too many requests",
			Text:  "This service was asked too often from your address or with your login.",
			Do:    "Try again in " + inWords(max(e.RetryAfter, time.Second)) + ".",
		}
	case e.Status == http.StatusUnauthorized:
		return errorWords{
			Title: "Not valid", Text: "What you gave is not valid, or not any more.",
			Do: "Check it, and try again.", Home: true,
		}
	case e.Status == desk.StatusProvider || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout:
		return errorWords{
			Title: "The provider has a problem", Text: "The provider where you log in did not do what it should.",
			Do: "Try again in a few minutes.", Home: true,
		}
	case e.Status == http.StatusForbidden:
		return errorWords{Title: "Not allowed", Text: "The server does not allow this.", Home: true}
	case e.Status >= http.StatusInternalServerError:
		return errorWords{
			Title: "Something went wrong here",
			Text:  "It is not your fault. What happened was written down for those who run this.",
			Do:    "Try again in a few minutes.", Home: true,
		}
	}
	return errorWords{Title: "This did not work", Text: "The server could not do what was asked.", Home: true}
}

// say is a refusal on one line, next to what was tried.
func say(e *desk.Error) string {
	w := wordsOfCode(e)
	text := w.Text
	if e.Code == desk.CodeRequest && e.Description != "" {
		text = "The server says: " + plain(e.Description) + "."
	}
	return strings.TrimSpace(text + " " + w.Do)
}
