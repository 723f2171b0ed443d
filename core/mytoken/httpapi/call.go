package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	memberMytoken = "mytoken"
	// minToken is the shortest text that can be a mytoken; what is shorter is a transfer code.
	minToken = 32
	// maxToken is the longest.
	maxToken = 32 << 10
)

// place is where in a request a mytoken stood.
type place int

const (
	nowhere place = iota
	inBody
	inHeader
	inCookie
)

// Call is a request to the API whose body was read.
type Call struct {
	Request *http.Request // its body is gone
	Body    Body
	Origin  desk.Origin

	api   *API
	found place // set by Caller
}

// Context is that of the request.
func (c *Call) Context() context.Context { return c.Request.Context() }

// PathValue is a part of the path, unescaped.
func (c *Call) PathValue(name string) string { return c.Request.PathValue(name) }

// Caller returns who makes the request: the mytoken of the body, else that of the header, else that of the cookie. A
// request without one is refused.
func (c *Call) Caller() (desk.Caller, error) { return c.callerIn(memberMytoken) }

// callerIn is Caller with the mytoken under another name in the body.
func (c *Call) callerIn(member string) (desk.Caller, error) {
	text, err := c.mytoken(member)
	if err != nil {
		return desk.Caller{}, err
	}
	who := desk.Caller{Mytoken: secret.FromString(text), Origin: c.Origin, Proof: c.proof()}
	if err := c.api.o.Gate.token(who.Mytoken); err != nil {
		who.Mytoken.Wipe()
		return desk.Caller{}, err
	}
	return who, nil
}

func (c *Call) mytoken(member string) (string, error) {
	text, err := c.Body.Text(member)
	if err != nil {
		return "", err
	}
	if text != "" {
		c.found = inBody
		if !tokenLike(text) {
			return "", refuse(http.StatusBadRequest, desk.CodeRequest, "token not valid")
		}
		return text, nil
	}
	if text = bearerOf(c.Request); text != "" {
		c.found = inHeader
	} else if text = c.api.cookieOf(c.Request); text != "" {
		c.found = inCookie
	}
	switch {
	case text == "":
		return "", refuse(http.StatusUnauthorized, desk.CodeToken, "no mytoken found in request")
	case !tokenLike(text):
		return "", refuse(http.StatusUnauthorized, desk.CodeToken, "token not valid")
	}
	return text, nil
}

// tokenLike reports whether a text can be a mytoken, JWT or short.
func tokenLike(s string) bool {
	return len(s) >= minToken && len(s) <= maxToken &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// bearerOf returns the token of the Authorization header. A token that is bound to a key comes with the scheme DPoP
// (RFC 9449 section 7.1).
func bearerOf(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
		return ""
	}
	return strings.TrimSpace(token)
}

// proof is the DPoP proof of the request. Its URL is the one that the client used: below the configured issuer,
// whatever a proxy made of it.
func (c *Call) proof() *desk.Proof {
	headers := c.Request.Header.Values("DPoP")
	if len(headers) == 0 {
		return nil
	}
	return &desk.Proof{Headers: headers, Method: c.Request.Method, URL: c.api.base + aboutOf(c.Context()).path}
}

const cookieName = "mytoken"

// cookieOf returns the mytoken of the cookie, unless a page of somebody else makes the request.
func (a *API) cookieOf(r *http.Request) string {
	k, err := r.Cookie(cookieName)
	if err != nil || !a.sameSite(r) {
		return ""
	}
	return k.Value
}

// sameSite reports whether a request comes from a page of ours, or from no page at all (Fetch Metadata; Origin where a
// browser does not have that).
func (a *API) sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		return origin == "" || origin == a.origin
	}
	return false
}

// form reports whether a body is a form: what pages send without a script.
func form(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data"
}

// originOfURL is the origin of a URL (RFC 6454), as browsers write it.
func originOfURL(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// refuse makes a refusal in the words of the API.
func refuse(status int, code, description string) *desk.Error {
	return &desk.Error{Status: status, Code: code, Description: description}
}

func badRequest(description string) *desk.Error {
	return refuse(http.StatusBadRequest, desk.CodeRequest, description)
}

// isRefusal finds a refusal in an error.
func isRefusal(err error) (*desk.Error, bool) {
	var e *desk.Error
	ok := errors.As(err, &e)
	return e, ok
}
