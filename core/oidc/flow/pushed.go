package flow

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

const maxRequestURI = 2048

// pushes reports whether an authorization request is sent to the provider before the browser goes there (RFC 9126).
func (c *Client) pushes() bool {
	return c.md.RequirePushed || c.md.PushedEndpoint != "" && c.opt.Push == PushOffered
}

// push hands the parameters of an authorization request to the provider and returns what the browser takes along
// instead of them (RFC 9126 section 2). authURL is the URL that would have been used.
func (c *Client) push(ctx context.Context, authURL string, extra url.Values) (string, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return "", fmt.Errorf("start login: %w", ErrNoEndpoint)
	}
	form := u.Query()
	base := c.md.AuthorizationEndpoint
	if _, own, ok := strings.Cut(base, "?"); ok { // parameters of the endpoint itself (RFC 6749 3.1) stay with it
		q, _ := url.ParseQuery(own)
		for name := range q {
			form.Del(name)
		}
	}
	o, err := c.postObject(ctx, call{
		op: "pushed authorization request", request: RequestPush, form: form, extra: extra,
		endpoint: "pushed_authorization_request_endpoint", target: c.md.PushedEndpoint,
	})
	if err != nil {
		return "", err
	}
	ref, err := readPushed(o)
	if err != nil {
		return "", &Error{Op: "pushed authorization request", Issuer: c.md.Issuer, Status: 200, Err: err}
	}
	sep := "?"
	if strings.Contains(base, "?") {
		sep = "&"
	}
	return base + sep + url.Values{"client_id": {c.cc.ID}, "request_uri": {ref}}.Encode(), nil
}

func readPushed(o jose.Object) (string, error) {
	ref, _ := o.String("request_uri")
	if ref == "" || len(ref) > maxRequestURI || !printable(ref) || strings.Contains(ref, " ") {
		return "", fmt.Errorf("%w: request_uri is missing or not usable", ErrAnswer)
	}
	return ref, nil
}
