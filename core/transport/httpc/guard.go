package httpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// guard is the RoundTripper under every request: it judges the URL, marks what may have reached the server and cuts long
// answers.
type guard struct {
	pooled    http.RoundTripper // keeps connections for reuse
	fresh     http.RoundTripper // one connection for each request
	maxBody   int64
	allowHTTP bool
	agent     string
}

// sentError marks a failure after a connection was there.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }
func (e *sentError) Unwrap() error { return e.err }

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkURL(req.URL, g.allowHTTP); err != nil {
		return nil, err
	}
	ctx, connected := watch(req.Context())
	req = req.Clone(ctx)
	req.Header.Set("User-Agent", g.agent)
	next := g.fresh
	if repeatable(req) {
		next = g.pooled
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		if connected.Load() {
			err = &sentError{err}
		}
		return nil, err
	}
	return g.bound(resp)
}

// watch tells when a request has got a connection: from then on the server may see it.
func watch(ctx context.Context) (context.Context, *atomic.Bool) {
	connected := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), connected
}

// markRepeatable is a header with which net/http lets a request be sent again; without a value it is not on the wire.
const markRepeatable = "Idempotency-Key"

// Repeatable marks a request that does no harm when the server gets it twice, as an introspection.
func Repeatable(r *http.Request) { r.Header[markRepeatable] = nil }

// Once marks a GET that changes something at the server: it gets a connection of its own and is sent once.
func Once(r *http.Request) { r.Close = true }

// repeatable decides about reuse of connections. A request written to a connection that the server is just closing has
// an unknown outcome, and for a refresh token that rotates this may be the end.
func repeatable(r *http.Request) bool {
	if r.Close {
		return false
	}
	if _, marked := r.Header[markRepeatable]; marked {
		return true
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

func (g *guard) bound(resp *http.Response) (*http.Response, error) {
	enc := strings.ToLower(resp.Header.Get("Content-Encoding"))
	if enc != "" && enc != "identity" {
		resp.Body.Close()
		return nil, &sentError{ErrEncoded}
	}
	if resp.ContentLength > g.maxBody {
		resp.Body.Close()
		return nil, &sentError{fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, resp.ContentLength, g.maxBody)}
	}
	resp.Body = &boundBody{ReadCloser: resp.Body, left: g.maxBody}
	return resp, nil
}

// boundBody fails instead of ending early, so that half an answer is never taken for a whole one.
type boundBody struct {
	io.ReadCloser
	left int64
}

func (b *boundBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
