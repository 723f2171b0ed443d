package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Defaults and bounds of a node.
const (
	// DefaultTimeout is for a login: less than the PAM helper waits.
	DefaultTimeout = 2500 * time.Millisecond
	// apiTimeout is for what users ask: an account may have to be made.
	apiTimeout = 30 * time.Second
	maxBody    = 64 << 10 // of a request of a user
	conns      = 64
)

// Options make a Client. Server and Certificate are needed.
type Options struct {
	Server      string // https://HOST:PORT
	CAFile      string // who signs the server's certificate; "" = the system's
	Certificate func() (*tls.Certificate, error)
	Timeout     time.Duration // of a login; 0: DefaultTimeout
	// HostKeys gives this node's public ssh keys, which /info tells in place of the server's; nil: the server's are told.
	HostKeys func() []string
	// Client says where a request comes from.
	Client func(*http.Request) netip.Addr
	Log    *slog.Logger // nil: nothing is logged
}

// Client is the side of a node.
type Client struct {
	o      Options
	base   *url.URL
	logins *httpc.Client
	api    *httpc.Client
}

// New returns a client. It reads the CA file. The error is ErrOptions, or says what is wrong with the file.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Server)
	switch {
	case err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil:
		return nil, fmt.Errorf("%w: server has to be https://HOST:PORT", ErrOptions)
	case strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("%w: server has more than a host", ErrOptions)
	case o.Certificate == nil:
		return nil, fmt.Errorf("%w: the node has no certificate", ErrOptions)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{o: o, base: base}
	client := func(timeout time.Duration) (*httpc.Client, error) {
		return httpc.New(httpc.Options{
			Timeout: timeout, CAFile: o.CAFile, UserAgent: "oidcbox-relay", MaxRedirects: -1, Conns: conns,
			Certificate: o.Certificate,
		})
	}
	if c.logins, err = client(o.Timeout); err != nil {
		return nil, err
	}
	if c.api, err = client(apiTimeout); err != nil {
		return nil, err
	}
	return c, nil
}

// Login asks the server. Whatever goes wrong is a no, with the reason for the log of the node. A question is sent once:
// a one-time password that the server has seen may be used up.
func (c *Client) Login(ctx context.Context, q login.Question) login.Answer {
	answer, err := c.ask(ctx, q)
	if err != nil {
		return login.Answer{Reason: err.Error()}
	}
	return answer
}

func (c *Client) ask(ctx context.Context, q login.Question) (login.Answer, error) {
	var body bytes.Buffer
	// It is not cleared afterwards: a transport that gave up may still be reading it.
	if err := login.WriteQuestion(&body, q); err != nil {
		return login.Answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(pathLogin).String(), &body)
	if err != nil {
		return login.Answer{}, fmt.Errorf("ask the central server: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	got, err := c.logins.Do(ctx, r)
	switch {
	case err != nil:
		return login.Answer{}, fmt.Errorf("ask the central server: %w", err)
	case got.Status != http.StatusOK:
		return login.Answer{}, fmt.Errorf("%w: status %d", ErrServer, got.Status)
	}
	answer, err := login.ReadAnswer(bytes.NewReader(got.Body))
	if err != nil {
		return login.Answer{}, fmt.Errorf("%w: %w", ErrServer, err)
	}
	return answer, nil
}

// Handler passes what users ask of this node on to the server.
func (c *Client) Handler() http.Handler {
	return httpd.Handle(c.o.Log, func(w http.ResponseWriter, r *http.Request) error {
		got, err := c.pass(w, r)
		if err != nil {
			return err
		}
		h := w.Header()
		for _, name := range answerHeaders() {
			if values := got.Header.Values(name); len(values) > 0 {
				h[name] = values
			}
		}
		body := got.Body
		if info(r.URL.Path) && got.Status == http.StatusOK && c.o.HostKeys != nil {
			body = withHostKeys(body, c.o.HostKeys())
		}
		w.WriteHeader(got.Status)
		_, _ = w.Write(body)
		return nil
	})
}

// requestHeaders and answerHeaders are what passes. Where a user comes from is said by the node alone.
func requestHeaders() []string {
	return []string{"Accept", "Accept-Language", "Authorization", "Content-Type", "User-Agent"}
}

func answerHeaders() []string {
	return []string{
		"Allow", "Cache-Control", "Content-Security-Policy", "Content-Type", "Location", "Retry-After", "Www-Authenticate",
		"X-Content-Type-Options",
	}
}

func (c *Client) pass(w http.ResponseWriter, r *http.Request) (*httpc.Response, error) {
	if r.URL.Path == "" || strings.HasPrefix(r.URL.Path, "/relay/") {
		return nil, &httpd.Error{Status: http.StatusNotFound}
	}
	b, err := httpd.ReadBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	target := *c.base
	target.Path, target.RawPath, target.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	var body io.Reader
	if len(b) > 0 {
		body = bytes.NewReader(b)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), body)
	if err != nil {
		return nil, &httpd.Error{Status: http.StatusBadRequest, Code: "invalid_request", Err: err}
	}
	for _, name := range requestHeaders() {
		if values := r.Header.Values(name); len(values) > 0 {
			out.Header[name] = slices.Clone(values)
		}
	}
	if from := c.client(r); from.IsValid() {
		out.Header.Set(headerClient, from.String())
	}
	got, err := c.api.Do(r.Context(), out)
	if err != nil {
		return nil, &httpd.Error{
			Status: http.StatusBadGateway, Code: "server_error", Description: "The central server cannot be reached",
			Header: http.Header{"Retry-After": {"5"}}, Err: err,
		}
	}
	return got, nil
}

func (c *Client) client(r *http.Request) netip.Addr {
	if c.o.Client != nil {
		return c.o.Client(r)
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// info reports whether a path is that of /info at one of its prefixes.
func info(path string) bool {
	path = strings.TrimSuffix(path, "/")
	return path == "/info" || strings.HasPrefix(path, "/api") && strings.HasSuffix(path, "/info")
}

// withHostKeys puts the keys of this node into the answer of /info. What is no object stays as it is.
func withHostKeys(body []byte, keys []string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return body
	}
	if keys == nil {
		keys = []string{}
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return body
	}
	members["ssh_host_keys"] = list
	out, err := json.Marshal(members)
	if err != nil {
		return body
	}
	return out
}
