package mytoken

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// minToken is the shortest text a server takes for a mytoken; what is shorter is a transfer code.
const minToken = 32

// Options of a Client. The zero value is good.
type Options struct {
	Now func() time.Time
	// Application is what the consent page says who asks, and what requests name where they name nothing else.
	Application string
}

// Client speaks to one mytoken server. It is safe for concurrent use.
type Client struct {
	http   *httpc.Client
	server *Server
	opt    Options
	sleep  func(ctx context.Context, d time.Duration) error
	run    Runner // in the place of http, nil for none
}

// New returns a client. It sends nothing.
func New(hc *httpc.Client, s *Server, o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{http: hc, server: s, opt: o, sleep: sleep}
}

// Server is what the server says of itself.
func (c *Client) Server() *Server { return c.server }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// call is one request.
type call struct {
	op       string // for the error
	endpoint string // name in the configuration
	target   string
	body     object
	form     url.Values  // instead of body
	get      bool        // neither
	method   string      // "" = POST, or GET
	bearer   secret.Text // of a request that has no mytoken in its body
	secrets  []secret.Text
	repeat   bool // it does no harm to send it twice
	ssh      sshCall
}

// answer is a response of success.
type answer struct {
	jose.Object
	status int
	asked  time.Time // lifetimes count from here
}

// do sends a request and judges the answer: a JSON object, or nothing, with a status of success. salvaged is what of an
// answer that cannot be read must not be lost: a mytoken that replaced the used one.
func (c *Client) do(ctx context.Context, q call) (a answer, salvaged secret.Text, err error) {
	if c.run != nil {
		return c.overSSH(ctx, q)
	}
	if q.target == "" {
		return a, salvaged, fmt.Errorf("%s at %s: %w: no %s", q.op, c.server.Issuer, ErrNotOffered, q.endpoint)
	}
	asked := c.opt.Now()
	resp, err := c.send(ctx, q)
	if err != nil {
		part := httpc.Partial(err)
		defer part.Wipe()
		return a, salvage(part), fmt.Errorf("%s: %w", q.op, err)
	}
	body := secret.New(resp.Body)
	defer body.Wipe()
	if resp.Status < 200 || resp.Status > 299 {
		return a, salvaged, c.refused(q, resp)
	}
	a = answer{status: resp.Status, asked: asked}
	if resp.Status == http.StatusNoContent || resp.Status == http.StatusCreated && !isObject(resp.Body) {
		return a, salvaged, nil
	}
	if a.Object, err = readObject(resp.Body); err != nil {
		err = &Error{Op: q.op, Server: c.server.Issuer, Status: resp.Status, Err: fmt.Errorf("%w: %w", ErrAnswer, err)}
		return a, salvage(body), err
	}
	if a.Has("error") {
		return a, salvage(body), c.refused(q, resp)
	}
	return a, salvaged, nil
}

func isObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) }

func (c *Client) send(ctx context.Context, q call) (*httpc.Response, error) {
	switch {
	case q.get:
		return c.get(ctx, q)
	case q.form != nil:
		return c.http.PostForm(ctx, q.target, q.form, nil)
	}
	b, err := q.body.bytes()
	if err != nil {
		return nil, err
	}
	defer clear(b)
	req, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodPost), q.target, bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a URL", ErrNotOffered, q.endpoint)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if !q.bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+q.bearer.Expose())
	}
	if q.repeat {
		httpc.Repeatable(req)
	}
	return c.http.Do(ctx, req)
}

func (c *Client) get(ctx context.Context, q call) (*httpc.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.target, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a URL", ErrNotOffered, q.endpoint)
	}
	req.Header.Set("Accept", "application/json")
	if !q.bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+q.bearer.Expose())
	}
	return c.http.Do(ctx, req)
}

// refused makes the error of an answer, whatever its body is: a rate limit answers with text.
func (c *Client) refused(q call, resp *httpc.Response) error {
	e := &Error{
		Op: q.op, Server: c.server.Issuer, Status: resp.Status, RetryAfter: httpc.RetryAfter(resp.Header, c.opt.Now()),
	}
	if o, err := readObject(resp.Body); err == nil {
		text := func(name string) string { s, _ := o.String(name); return s }
		e.Code = cleanCode(cleanText(text("error"), q.secrets))
		e.Description = cleanText(text("error_description"), q.secrets)
	}
	return e
}

// salvage finds the mytoken that replaces the used one in an answer that is refused for its form, or in the part of one
// that arrived.
func salvage(body secret.Text) (t secret.Text) {
	_ = body.Use(func(b []byte) error {
		if _, after, ok := bytes.Cut(b, []byte(`"token_update"`)); ok {
			if at := bytes.IndexByte(after, '{'); at >= 0 && at < 16 {
				b = after[at:]
			}
		}
		for _, name := range []string{"mytoken", "refresh_token"} {
			if s, _ := jose.FindString(b, name); len(s) >= minToken {
				t = secret.FromString(s)
				return nil
			}
		}
		return nil
	})
	return t
}

// usable refuses what cannot be a mytoken before it is sent anywhere.
func usable(mt secret.Text) error {
	if mt.Len() < minToken || mt.Len() > jose.MaxToken {
		return fmt.Errorf("%w: %d characters", ErrToken, mt.Len())
	}
	return mt.Use(func(b []byte) error {
		if bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%w: characters that none has", ErrToken)
		}
		return nil
	})
}

// bad is the error for an answer of success that lacks what it is for.
func (c *Client) bad(op string, err error) error {
	if errors.Is(err, ErrAnswer) {
		return &Error{Op: op, Server: c.server.Issuer, Status: http.StatusOK, Err: err}
	}
	return &Error{Op: op, Server: c.server.Issuer, Status: http.StatusOK, Err: fmt.Errorf("%w: %w", ErrAnswer, err)}
}
