package flow

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Limits of an answer that is JSON.
const (
	maxDepth   = 16
	maxMembers = 2000
)

// call is one authenticated POST to the provider.
type call struct {
	op       string // for the error: "refresh"
	request  string // for Options.Extra
	endpoint string // name in the metadata
	target   string
	form     url.Values
	extra    url.Values
	repeat   bool // it does no harm to send it twice
	keep     func(fresh secret.Text)
}

// post sends a form with client authentication and returns the answer whatever its status. The secrets are what must
// not appear in an error.
func (c *Client) post(ctx context.Context, q call) (*httpc.Response, []string, error) {
	target, err := c.endpoint(q.endpoint, q.target)
	if err != nil {
		return nil, nil, err
	}
	c.addExtra(q.form, q.request, q.extra)
	auth, err := c.authenticate(q.form)
	if err != nil {
		return nil, nil, err
	}
	secrets := append(secretsOf(q.form), c.cc.secrets()...)
	resp, err := c.http.PostForm(ctx, target, q.form, func(r *http.Request) {
		auth(r)
		if q.repeat {
			httpc.Repeatable(r)
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.op, err)
	}
	return resp, secrets, nil
}

// postObject is post for an endpoint that answers 200 with a JSON object.
func (c *Client) postObject(ctx context.Context, q call) (jose.Object, error) {
	resp, secrets, err := c.post(ctx, q)
	if err != nil {
		return jose.Object{}, err
	}
	defer clear(resp.Body)
	return c.object(q.op, resp, secrets)
}

// object judges an answer: a JSON object with a status of success and without "error", else an *Error.
func (c *Client) object(op string, resp *httpc.Response, secrets []string) (jose.Object, error) {
	o, err := jose.StrictObject(resp.Body, maxDepth, maxMembers)
	if resp.Status < 200 || resp.Status > 299 {
		return jose.Object{}, c.refused(op, resp, o, secrets)
	}
	if err != nil {
		return jose.Object{}, c.unreadable(op, resp, err)
	}
	// Some providers refuse with status 200.
	if s, _ := o.String("error"); s != "" {
		return jose.Object{}, c.refused(op, resp, o, secrets)
	}
	return o, nil
}

// refused makes the error of an answer; o is empty when the body is no JSON object.
func (c *Client) refused(op string, resp *httpc.Response, o jose.Object, secrets []string) error {
	e := &Error{
		Op: op, Issuer: c.md.Issuer, Status: resp.Status,
		RetryAfter: httpc.RetryAfter(resp.Header, c.opt.Now()),
	}
	text := func(name string) string { s, _ := o.String(name); return s }
	e.Code = code(mask(text("error"), secrets))
	e.Description = describe(text("error_description"), secrets)
	e.URI = describe(text("error_uri"), secrets)
	if e.Code == "" && resp.Status == http.StatusUnauthorized {
		e.Code = bearerError(resp.Header) // RFC 6750 3: userinfo and registration refuse in a header
	}
	return e
}

// bearerError reads error="..." of a WWW-Authenticate header.
func bearerError(h http.Header) string {
	_, rest, ok := strings.Cut(h.Get("WWW-Authenticate"), `error="`)
	if !ok {
		return ""
	}
	s, _, _ := strings.Cut(rest, `"`)
	return code(s)
}

// addExtra adds parameters that the request does not have. Those of the protocol cannot be changed that way.
func (c *Client) addExtra(form url.Values, request string, more url.Values) {
	sets := []url.Values{more}
	if c.opt.Extra != nil && request != "" {
		sets = append(sets, c.opt.Extra(request))
	}
	for _, set := range sets {
		for name, values := range set {
			if !form.Has(name) && !reserved(name) {
				form[name] = slices.Clone(values)
			}
		}
	}
}

// reserved reports whether a parameter belongs to the protocol: a custom one must not take its place where a request
// leaves it out.
func reserved(name string) bool {
	switch name {
	case "client_id", "client_secret", "grant_type", "response_type", "redirect_uri", "state", "nonce", "scope", "code",
		"code_verifier", "code_challenge", "code_challenge_method", "refresh_token", "device_code", "username", "password",
		"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "token",
		"client_assertion", "client_assertion_type", "request", "request_uri":
		return true
	}
	return false
}

// Methods of client authentication (OpenID Connect Core 9).
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authNone  = "none"
	authKey   = "private_key_jwt"
)

// authMethod chooses: what the registration says; none without a secret; else what the provider lists, basic first
// because RFC 6749 2.3.1 makes every provider know it.
func (c *Client) authMethod() (string, error) {
	switch c.cc.AuthMethod {
	case authBasic, authPost, authNone:
		return c.cc.AuthMethod, nil
	case authKey:
		if c.cc.Key == nil {
			return "", fmt.Errorf("%w: private_key_jwt without a key", ErrAuthMethod)
		}
		return authKey, nil
	case "":
	default:
		return "", fmt.Errorf("%w: %q", ErrAuthMethod, code(c.cc.AuthMethod))
	}
	switch known := c.md.TokenAuthMethods; {
	case c.cc.Key != nil:
		return authKey, nil
	case c.cc.Secret.Empty():
		return authNone, nil
	case c.cc.Public, slices.Contains(known, authPost) && !slices.Contains(known, authBasic):
		return authPost, nil
	}
	return authBasic, nil
}

// authenticate puts the client's identity into the form or, through the returned function, into the header.
func (c *Client) authenticate(form url.Values) (func(*http.Request), error) {
	if c.cc.ID == "" {
		return nil, ErrNoClient
	}
	method, err := c.authMethod()
	if err != nil {
		return nil, err
	}
	switch method {
	case authBasic:
		// RFC 6749 2.3.1: both are form-encoded before they are joined.
		return func(r *http.Request) {
			r.SetBasicAuth(url.QueryEscape(c.cc.ID), url.QueryEscape(c.cc.Secret.Expose()))
		}, nil
	case authPost:
		form.Set("client_secret", c.cc.Secret.Expose())
	case authKey:
		return c.assert(form)
	}
	form.Set("client_id", c.cc.ID)
	return func(*http.Request) {}, nil
}
