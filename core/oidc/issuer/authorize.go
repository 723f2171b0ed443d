package issuer

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// authRequest is an authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1) that may be
// answered at its redirect URI.
type authRequest struct {
	client      party
	redirectURI string
	state       string
	nonce       string
	challenge   string
	scope       []string
	audience    []string
	prompt      []string
	hint        string
	maxAge      time.Duration // negative: not said
}

// redirectError is a failure that is told to the client at its redirect URI.
type redirectError struct {
	uri, state        string
	code, description string
}

func (e *redirectError) Error() string { return e.code + ": " + e.description }

// authorize is the authorization endpoint and, for POST, the forms of its pages. The request stays in the query of
// every form, so nothing is kept of a request until the person has agreed.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost && r.URL.RawQuery == "" {
		return i.repost(w, r)
	}
	r, err := i.pulled(r)
	if err != nil {
		return i.pageError(w, err)
	}
	req, err := i.readAuthRequest(r)
	var told *redirectError
	if errors.As(err, &told) {
		return i.redirect(w, told.uri, url.Values{
			"error": {told.code}, "error_description": {httpd.Quotable(told.description)}, "state": {told.state},
		})
	}
	if err != nil {
		return i.pageError(w, err)
	}
	return i.agree(w, r, req)
}

// repost turns an authorization request by POST (OpenID Connect Core section 3.1.2.1) into one by GET.
func (i *Issuer) repost(w http.ResponseWriter, r *http.Request) error {
	q, err := readForm(w, r)
	if err != nil {
		return i.pageError(w, err)
	}
	http.Redirect(w, r, i.endpoint("/authorize")+"?"+q.Encode(), http.StatusSeeOther)
	return nil
}

func (i *Issuer) agree(w http.ResponseWriter, r *http.Request, req authRequest) error {
	fail := func(code, description string) error {
		return i.redirect(w, req.redirectURI, url.Values{
			"error": {code}, "error_description": {description}, "state": {req.state},
		})
	}
	if slices.Contains(req.prompt, "none") && i.o.AutoLogin == "" {
		if _, ok, err := i.session(r); err != nil || !ok {
			return fail("login_required", "nobody is signed in")
		}
		return fail("consent_required", "the person has to agree")
	}
	a, err := i.ask(w, r, question{
		path: "/authorize", client: req.client, scope: req.scope, audience: req.audience, hint: req.hint,
		again: slices.Contains(req.prompt, "login") || slices.Contains(req.prompt, "select_account"),
		age:   req.maxAge, redirect: req.redirectURI,
	})
	switch {
	case err != nil:
		return i.pageError(w, err)
	case !a.done:
		return nil // a page was shown
	case a.refused:
		return fail(codeAccessDenied, "the person refused")
	}
	code, err := i.saveCode(r.Context(), codeRow{
		Client: req.client.ID, Subject: a.user.Subject, Scope: i.allowed(req.client, &a.user, req.scope),
		Audience: req.audience, RedirectURI: req.redirectURI, Challenge: req.challenge, Nonce: req.nonce,
		AuthTime: a.since.Unix(),
	})
	if err != nil {
		i.o.Log.Error("authorization failed", "op", "authorize", "err", err)
		return fail("temporarily_unavailable", "try again later")
	}
	return i.redirect(w, req.redirectURI, url.Values{"code": {code}, "state": {req.state}})
}

// redirect sends the browser back with q and iss (RFC 9207). 303, so that a form is never sent on (RFC 9700 section
// 4.12).
func (i *Issuer) redirect(w http.ResponseWriter, uri string, q url.Values) error {
	if q.Get("state") == "" {
		q.Del("state")
	}
	q.Set("iss", i.o.URL)
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	w.Header().Set("Location", uri+sep+q.Encode())
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// readAuthRequest returns an error for a page while the redirect URI is not known to be the client's, and a
// *redirectError after that.
func (i *Issuer) readAuthRequest(r *http.Request) (authRequest, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return authRequest{}, badRequest("the request is too long")
	}
	q, err := readParams(r.URL.RawQuery)
	if err != nil {
		return authRequest{}, err
	}
	c, ok, err := i.party(r.Context(), q.Get("client_id"))
	if err != nil {
		return authRequest{}, err
	}
	if !ok {
		return authRequest{}, badRequest("the application (client_id) is not registered here")
	}
	uri := q.Get("redirect_uri")
	if !c.redirects(uri) {
		return authRequest{}, badRequest("redirect_uri is not registered for this application")
	}
	req := authRequest{
		client: c, redirectURI: uri, state: q.Get("state"), nonce: q.Get("nonce"), hint: q.Get("login_hint"),
		challenge: q.Get("code_challenge"), prompt: strings.Fields(q.Get("prompt")), maxAge: -1,
	}
	if err := i.fillAuthRequest(&req, q); err != nil {
		return authRequest{}, req.tell(err)
	}
	return req, nil
}

func (i *Issuer) fillAuthRequest(req *authRequest, q url.Values) (err error) {
	switch {
	case q.Has("request"):
		return bad("request_not_supported", "request objects are not supported")
	case q.Has("request_uri"):
		return bad("request_uri_not_supported", "request objects are not supported")
	case q.Get("response_type") != "code":
		return bad("unsupported_response_type", "only response_type=code is supported")
	case q.Has("response_mode") && q.Get("response_mode") != "query":
		return badRequest("only response_mode=query is supported")
	case !req.client.may(GrantCode):
		return bad("unauthorized_client", "the client is not registered for that grant type")
	}
	if err := checkChallenge(req.client, q); err != nil {
		return err
	}
	if slices.Contains(req.prompt, "none") && len(req.prompt) > 1 {
		return badRequest("prompt=none goes with no other")
	}
	if age := q.Get("max_age"); age != "" {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			return badRequest("max_age is not a number of seconds")
		}
		req.maxAge = time.Duration(seconds) * time.Second
	}
	if req.scope, err = parseScope(q.Get("scope")); err != nil {
		return err
	}
	if len(req.scope) == 0 {
		req.scope = req.client.Scope
	}
	req.audience, err = readAudience(q)
	return err
}

// checkChallenge wants PKCE with S256 from public clients, and no other method from anybody (RFC 9700 section 2.1.1).
func checkChallenge(c party, q url.Values) error {
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "":
		if c.public() {
			return badRequest("PKCE is required: code_challenge is missing")
		}
		return nil
	case method != "S256":
		return badRequest("code_challenge_method must be S256")
	case len(challenge) != 43 || !goodVerifier(challenge):
		return badRequest("code_challenge is not the base64url of a SHA-256")
	}
	return nil
}

// tell makes err one for the redirect URI.
func (req authRequest) tell(err error) error {
	out := &redirectError{uri: req.redirectURI, state: req.state, code: "server_error"}
	var e *httpd.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("read the authorization request: %w", err)
	}
	out.code, out.description = e.Code, e.Description
	return out
}
