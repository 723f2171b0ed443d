package registration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Register makes a new client (RFC 7591 3.1). initial is the initial access token, empty for open registration.
//
// When r leaves the application type open and the provider refuses the redirect URIs or the metadata, the other type is
// tried once. The error is an *Error, ErrNoEndpoint, or of httpc.
func Register(ctx context.Context, hc *httpc.Client, endpoint string, r Request, initial secret.Text) (Client, error) {
	if endpoint == "" {
		return Client{}, fmt.Errorf("register: %w", ErrNoEndpoint)
	}
	var first error
	for _, kind := range r.types() {
		body, err := r.encode(kind, nil)
		if err != nil {
			return Client{}, err
		}
		c, err := send(ctx, hc, exchange{
			op: "register", method: http.MethodPost, url: endpoint, body: body, token: initial,
		})
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err // the first type is the right one: its refusal tells more
		}
		if !typeMatters(err) {
			break
		}
	}
	return Client{}, first
}

// typeMatters reports whether another application type may be the cure.
func typeMatters(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		return false
	}
	switch e.Code {
	case "invalid_redirect_uri", "invalid_client_metadata":
		return true
	}
	text := strings.ToLower(e.Code + " " + e.Description)
	return strings.Contains(text, "redirect_uri") || strings.Contains(text, "application_type")
}

// Read asks for the present state of a registration (RFC 7592 2.1).
func Read(ctx context.Context, hc *httpc.Client, c Client) (Client, error) {
	return manage(ctx, hc, c, exchange{op: "read registration", method: http.MethodGet})
}

// Update replaces the metadata of a registration by r (RFC 7592 2.2): what r leaves out goes back to the default. The
// provider may give a new secret or a new registration token; the returned Client has what is valid from now on.
func Update(ctx context.Context, hc *httpc.Client, c Client, r Request) (Client, error) {
	more := map[string]any{"client_id": c.ID}
	if !c.Secret.Empty() {
		more["client_secret"] = c.Secret.Expose()
	}
	body, err := r.encode(cmp.Or(r.ApplicationType, c.ApplicationType), more)
	if err != nil {
		return Client{}, err
	}
	return manage(ctx, hc, c, exchange{op: "update registration", method: http.MethodPut, body: body, secret: c.Secret})
}

// Delete ends a registration (RFC 7592 2.3). One that the provider does not know any more is an error; see Gone.
func Delete(ctx context.Context, hc *httpc.Client, c Client) error {
	q, err := managed(c, exchange{op: "delete registration", method: http.MethodDelete})
	if err != nil {
		return err
	}
	resp, err := q.do(ctx, hc)
	if err != nil {
		return err
	}
	if resp.Status < 200 || resp.Status > 299 {
		return q.refused(resp)
	}
	return nil
}

func managed(c Client, q exchange) (exchange, error) {
	if c.RegistrationURI == "" || c.RegistrationToken.Empty() {
		return q, fmt.Errorf("%s: %w", q.op, ErrNoEndpoint)
	}
	q.url, q.token = c.RegistrationURI, c.RegistrationToken
	return q, nil
}

// manage sends a request about c and fills in what the answer may leave out.
func manage(ctx context.Context, hc *httpc.Client, c Client, q exchange) (Client, error) {
	q, err := managed(c, q)
	if err != nil {
		return Client{}, err
	}
	now, err := send(ctx, hc, q)
	if err != nil {
		return Client{}, err
	}
	if now.ID != c.ID {
		now.Wipe()
		return Client{}, &Error{
			Op: q.op, Endpoint: q.host(), Status: http.StatusOK, Err: fmt.Errorf("%w: it is about another client", ErrAnswer),
		}
	}
	if now.Secret.Empty() {
		now.Secret = c.Secret.Clone()
	}
	if now.RegistrationToken.Empty() {
		now.RegistrationToken = c.RegistrationToken.Clone()
	}
	now.RegistrationURI = cmp.Or(now.RegistrationURI, c.RegistrationURI)
	return now, nil
}

// exchange is one request to the registration endpoint.
type exchange struct {
	op     string
	method string
	url    string
	body   []byte
	token  secret.Text
	secret secret.Text // in the body of an update
}

func send(ctx context.Context, hc *httpc.Client, q exchange) (Client, error) {
	resp, err := q.do(ctx, hc)
	if err != nil {
		return Client{}, err
	}
	defer clear(resp.Body)
	// 201 by RFC 7591, 200 by RFC 7592 and at some providers for everything.
	if resp.Status < 200 || resp.Status > 299 {
		return Client{}, q.refused(resp)
	}
	c, err := parse(resp.Body, q.url)
	if err != nil {
		return Client{}, &Error{
			Op: q.op, Endpoint: q.host(), Status: resp.Status, Err: fmt.Errorf("%w: %w", ErrAnswer, err),
		}
	}
	return c, nil
}

func (q exchange) do(ctx context.Context, hc *httpc.Client) (*httpc.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil || req.URL.User != nil {
		return nil, fmt.Errorf("%s: %w: not a URL", q.op, ErrNoEndpoint)
	}
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !q.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+q.token.Expose())
	}
	resp, err := hc.Do(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.op, err)
	}
	return resp, nil
}

func (q exchange) refused(resp *httpc.Response) error {
	e := &Error{Op: q.op, Endpoint: q.host(), Status: resp.Status}
	if o, err := jose.StrictObject(resp.Body, maxDepth, maxMembers); err == nil {
		text := func(name string) string { s, _ := o.String(name); return s }
		e.Code = q.oneLine(text("error"), 64)
		e.Description = q.oneLine(text("error_description"), 300)
	}
	return e
}

func (q exchange) host() string {
	u, err := url.Parse(q.url)
	if err != nil {
		return "(not a URL)"
	}
	return u.Host
}

// oneLine makes a provider's text printable and short, and takes the secrets of the request out of it.
func (q exchange) oneLine(s string, limit int) string {
	for _, t := range []secret.Text{q.token, q.secret} {
		if !t.Empty() {
			s = strings.ReplaceAll(s, t.Expose(), "[secret]")
		}
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
