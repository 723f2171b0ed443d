package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// StatusForward says that the answer is good and the browser is to go on to the URL in it. It is the API's own.
const StatusForward = 278

// Answer is what a request is answered with when it was not refused.
type Answer struct {
	// Status 0 is 200, and 204 where there is nothing to say.
	Status int
	// Body becomes the JSON object of the answer. It is nil, or marshals into an object; arrays have no Update.
	Body any
	// Update is the mytoken that replaced the used one. It is written into the object, and wiped.
	Update *desk.Issued
	// Cookies are set beside it, and Header: Location, where the status wants one.
	Cookies []*http.Cookie
	Header  http.Header

	wipe func() // of what Body is made from, when it was written
}

const (
	typeJSON = "application/json"
	typeText = "text/plain; charset=utf-8"
)

// send writes an answer. The bytes are cleared: there may be secrets in them.
func (a *API) send(w http.ResponseWriter, c *Call, out Answer) error {
	defer out.Update.Wipe()
	if out.wipe != nil {
		defer out.wipe()
	}
	b, err := encode(out.Body, out.Update)
	defer clear(b)
	if err != nil {
		return err
	}
	for _, k := range out.Cookies {
		http.SetCookie(w, k)
	}
	if out.Update != nil && out.Update.Kind != mytoken.KindTransferCode && a.sameSite(c.Request) {
		http.SetCookie(w, a.cookie(out.Update))
	}
	h := w.Header()
	maps.Copy(h, out.Header)
	switch {
	case b == nil && out.Status == http.StatusCreated:
		h.Set("Content-Type", typeText)
		w.WriteHeader(out.Status)
		_, err = w.Write([]byte("Created"))
	case b == nil && out.Status == 0:
		w.WriteHeader(http.StatusNoContent)
	case b == nil:
		w.WriteHeader(out.Status)
	default:
		h.Set("Content-Type", typeJSON)
		h.Set("Content-Length", strconv.Itoa(len(b)))
		if out.Status == 0 || out.Status == http.StatusNoContent {
			out.Status = http.StatusOK
		}
		w.WriteHeader(out.Status)
		_, err = w.Write(b)
	}
	_ = err // that the caller has gone away is not ours to report
	return nil
}

// encode writes the object of an answer, with the update as its last member. nil is no body at all.
func encode(body any, update *desk.Issued) ([]byte, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return b, fmt.Errorf("write an answer: %w", err)
		}
	}
	if update == nil {
		return b, nil
	}
	defer clear(b)
	u, err := json.Marshal(update)
	if err != nil {
		return nil, fmt.Errorf("write an answer: %w", err)
	}
	defer clear(u)
	switch {
	case b == nil:
		b = []byte("{}")
	case b[0] != '{':
		return nil, errors.New("write an answer: there is no place for a new mytoken in it")
	}
	out := bytes.TrimSuffix(b, []byte("}"))
	sep := ","
	if len(out) == 1 {
		sep = ""
	}
	return fmt.Appendf(nil, `%s%s"token_update":%s}`, out, sep, u), nil
}

// cookie is the session cookie with a mytoken.
func (a *API) cookie(i *desk.Issued) *http.Cookie {
	life := a.o.CookieLife
	if n := i.ExpiresIn(); n > 0 {
		life = min(life, time.Duration(n)*time.Second)
	}
	return sessionCookie(a.base, i.Token.Expose(), life)
}

// sessionCookie makes the cookie with the mytoken of a browser, for scripts that use the API. life 0 or less removes
// it. It has no Domain: it goes to this host and to none below.
func sessionCookie(issuer, text string, life time.Duration) *http.Cookie {
	k := &http.Cookie{
		Name: cookieName, Value: text, Path: pathAPI, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: strings.HasPrefix(issuer, "https://"), MaxAge: int(life / time.Second),
	}
	if k.MaxAge <= 0 {
		k.MaxAge, k.Value = -1, ""
	}
	return k
}

// maxDescription bounds what is told about a refusal: it may repeat a provider.
const maxDescription = 1000

// refusal turns an error into what the caller is told; what is our own trouble has no text.
func refusal(err error) *desk.Error {
	if e, ok := isRefusal(err); ok {
		return e
	}
	var own *httpd.Error
	if errors.As(err, &own) && own.Status < http.StatusInternalServerError {
		return refuse(own.Status, own.Code, own.Description)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, desk.CodeRequest, "the body of the request is too large")
	case errors.Is(err, errBody):
		return badRequest(err.Error())
	}
	return refuse(http.StatusInternalServerError, desk.CodeInternal, "")
}

// fail writes the error object of the API (RFC 6749 section 5.2 in form).
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := refusal(err)
	log := a.o.Log.With("req", RequestID(r.Context()), "op", opOf(r))
	if e.Status == http.StatusInternalServerError {
		log.ErrorContext(r.Context(), "request failed", "err", err)
	} else {
		// Not the description: it may repeat the request, and what stands in a wrong place of that may be a secret.
		log.DebugContext(r.Context(), "request refused", "status", e.Status, "code", e.Code, "err", e.Err)
	}
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(e.RetryAfter)))
	}
	if e.Nonce != "" {
		h.Set("DPoP-Nonce", e.Nonce)
	}
	if challenge := challengeOf(e); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	body := struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, plain(e.Description)}
	b, _ := json.Marshal(body) // two strings always encode
	h.Set("Content-Type", typeJSON)
	w.WriteHeader(e.Status)
	_, _ = w.Write(b)
}

// wholeSeconds rounds up: who comes back then is let in.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// challengeOf is the WWW-Authenticate of a refusal (RFC 6750 section 3, RFC 9449 section 7.1).
func challengeOf(e *desk.Error) string {
	if e.Status != http.StatusUnauthorized {
		return ""
	}
	scheme := "Bearer"
	if e.Code == codeUnauthorized || e.Code == codeClient {
		return `Basic realm="mytoken"`
	}
	if e.Code == desk.CodeNonce || e.Code == desk.CodeProof {
		scheme = "DPoP"
	}
	return scheme + ` error="` + httpd.Quotable(e.Code) + `"`
}

// plain keeps an error description to one line of printable characters.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	return cutText(s, maxDescription)
}

// opOf names a request by its route: what its sender chose freely may hold secrets.
func opOf(r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return r.Method
}
