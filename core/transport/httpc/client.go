package httpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Limits of a request unless Options say otherwise.
const (
	DefaultTimeout      = 10 * time.Second
	DefaultMaxBody      = 1 << 20
	DefaultMaxRedirects = 3

	maxHeader   = 64 << 10
	dialTimeout = 5 * time.Second
	idleTime    = 30 * time.Second
)

// Options bound a Client. The zero value is usable and strict.
type Options struct {
	Timeout      time.Duration       // whole request, answer read; 0 = 10 s
	MaxBody      int64               // bytes of the answer; 0 = 1 MiB
	CAFile       string              // PEM; replaces the system's certificates, as cert_path of oidc-agent does
	UserAgent    string              // "" = "oidcbox"
	Getenv       func(string) string // SSL_CERT_FILE (as CAFile, which wins), proxies; nil = empty environment
	AllowHTTP    bool                // plain http to any host; for laboratories
	MaxRedirects int                 // for GET; 0 = 3, negative = none
	Conns        int                 // at once to one host, as many kept for reuse; 0 = 32, of which 2 are kept
	// Certificate is asked at each connection for what is shown to a server that wants a certificate; nil = none.
	Certificate func() (*tls.Certificate, error)
}

// Client sends bounded requests. It is safe for concurrent use.
type Client struct {
	follow    *http.Client // GET
	stay      *http.Client // everything else
	guard     *guard
	pooled    *http.Transport
	timeout   time.Duration
	redirects int
}

// Response is an answer that was read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New returns a client. It reads the CA file at once, so that a wrong one is found out before the first request.
func New(o Options) (*Client, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	roots, err := loadRoots(cmp.Or(o.CAFile, o.Getenv("SSL_CERT_FILE")))
	if err != nil {
		return nil, err
	}
	c := &Client{
		pooled:    newTransport(o, roots),
		timeout:   cmp.Or(o.Timeout, DefaultTimeout),
		redirects: max(cmp.Or(o.MaxRedirects, DefaultMaxRedirects), 0),
	}
	fresh := c.pooled.Clone()
	fresh.DisableKeepAlives = true
	c.guard = &guard{
		pooled: c.pooled, fresh: fresh, maxBody: cmp.Or(o.MaxBody, DefaultMaxBody), allowHTTP: o.AllowHTTP,
		agent: cmp.Or(o.UserAgent, "oidcbox"),
	}
	// Do sets the time limit through the context: Client.Timeout replaces the error, and with it what we know about
	// whether the request was sent.
	c.follow = &http.Client{Transport: c.guard, CheckRedirect: c.checkRedirect}
	c.stay = &http.Client{Transport: c.guard, CheckRedirect: never}
	return c, nil
}

func newTransport(o Options, roots *x509.CertPool) *http.Transport {
	secured := &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(32),
	}
	if o.Certificate != nil {
		secured.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() }
	}
	return &http.Transport{
		Proxy:                  newProxy(o.Getenv).find,
		DialContext:            dialer{net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}}.dial,
		TLSClientConfig:        secured,
		TLSHandshakeTimeout:    dialTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           max(o.Conns, 16),
		MaxIdleConnsPerHost:    max(o.Conns, 2),
		MaxConnsPerHost:        cmp.Or(o.Conns, 32),
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// CloseIdle closes the connections that are kept for reuse.
func (c *Client) CloseIdle() { c.pooled.CloseIdleConnections() }

// Do sends req and reads the whole answer. Any status is an answer; the error is an *Error.
//
// A GET without the mark Once, and what Repeatable marks, may go over a connection that was used before, and be sent again when the server
// had just closed that one. Everything else gets a connection of its own and is sent once.
//
// Redirects (RFC 9110 15.4) are followed for GET without an Authorization header only; otherwise the redirect itself is
// the answer.
func (c *Client) Do(ctx context.Context, req *http.Request) (*Response, error) {
	hc := c.stay
	if req.Method == http.MethodGet && req.Header.Get("Authorization") == "" {
		hc = c.follow
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// http.Client has failures of its own, after the answer came: a Location that cannot be parsed.
	limited, connected := watch(limited)
	resp, err := hc.Do(req.WithContext(limited))
	if err != nil {
		if connected.Load() {
			err = &sentError{err}
		}
		return nil, c.failed(ctx, req, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e := c.failed(ctx, req, &sentError{err})
		if resp.StatusCode/100 == 2 && !errors.Is(err, ErrTooLarge) {
			e.partial = secret.New(body)
		}
		return nil, e
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Get fetches a URL.
func (c *Client) Get(ctx context.Context, target string) (*Response, error) {
	req, err := newRequest(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, req)
}

// PostForm sends form as application/x-www-form-urlencoded and asks for JSON. edit may change the request (headers,
// basic authentication); it may be nil.
func (c *Client) PostForm(
	ctx context.Context, target string, form url.Values, edit func(*http.Request),
) (*Response, error) {
	req, err := newRequest(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if edit != nil {
		edit(req)
	}
	return c.Do(ctx, req)
}

func newRequest(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		// The error of net/url quotes the whole URL, query included.
		return nil, &Error{Method: method, URL: "(not a URL)", Err: ErrInsecure}
	}
	return req, nil
}

func never(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkRedirect lets a GET go on, within limits: not from another host to this machine, whose services trust it.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > c.redirects:
		return fmt.Errorf("%w: more than %d", ErrRedirect, c.redirects)
	case req.URL.User != nil:
		return fmt.Errorf("%w: it carries a password", ErrRedirect)
	case loopback(req.URL) && slices.ContainsFunc(via, elsewhere):
		return fmt.Errorf("%w: to this machine", ErrRedirect)
	}
	if err := checkURL(req.URL, c.guard.allowHTTP); err != nil {
		return fmt.Errorf("%w: %w", ErrRedirect, err)
	}
	return nil
}

func elsewhere(req *http.Request) bool { return !loopback(req.URL) }

// CheckURL says before anything is sent whether a Client would refuse raw: the error is ErrInsecure.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: not a URL", ErrInsecure)
	}
	return checkURL(u, false)
}

// checkURL allows https, and http where it cannot leave the machine.
func checkURL(u *url.URL, allowHTTP bool) error {
	switch {
	case u.Host == "":
		return fmt.Errorf("%w: no host", ErrInsecure)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (allowHTTP || loopback(u)):
		return nil
	}
	return fmt.Errorf("%w: scheme %q to host %q", ErrInsecure, u.Scheme, u.Hostname())
}

// failed takes off the *url.Error, which quotes the query, and says when it was our own time limit.
func (c *Client) failed(ctx context.Context, req *http.Request, err error) *Error {
	e := &Error{Method: req.Method, URL: bare(req.URL), Err: plain(err)}
	var sent *sentError
	e.Sent = errors.As(err, &sent)
	if e.Sent && !tellable(e.Err) {
		e.Err = &garbled{e.Err}
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		e.Err = fmt.Errorf("no complete answer within %v: %w", c.timeout, context.DeadlineExceeded)
	}
	return e
}

// plain removes the layers of net/http that repeat the URL, and our mark.
func plain(err error) error {
	for {
		var (
			outer *url.Error
			sent  *sentError
		)
		switch {
		case errors.As(err, &outer):
			err = outer.Err
		case errors.As(err, &sent):
			err = sent.err
		default:
			return err
		}
	}
}
