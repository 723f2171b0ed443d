package httpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/oidcbox/oidcbox/core/secret"
)

var (
	// ErrTooLarge says that an answer was longer than MaxBody; nothing of it is given to the caller.
	ErrTooLarge = errors.New("answer is larger than allowed")

	// ErrInsecure says that a URL is neither https nor plain http to the loopback interface; nothing was sent.
	ErrInsecure = errors.New("refusing a URL that is not https")

	// ErrRedirect says that a redirect led to where this client does not go, or that there were too many.
	ErrRedirect = errors.New("refusing to follow the redirect")

	// ErrCAFile says that a file of CA certificates is not a regular file, or has no certificate in it.
	ErrCAFile = errors.New("not a file of CA certificates")

	// ErrEncoded says that an answer came compressed although that was not asked for.
	ErrEncoded = errors.New("answer is compressed, which was not asked for")
)

// Error is what every failed request returns. Its text names the method and the URL without query, never a header.
type Error struct {
	Method string
	URL    string // scheme, host and path
	Sent   bool   // a connection was there: the server may have seen the request, perhaps acted on it
	Err    error

	partial secret.Text
}

// maxText bounds what is told of the cause of an Error. Certificates and proxies choose such texts.
const maxText = 300

// Error gives one printable line.
func (e *Error) Error() string {
	what := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, e.Err.Error())
	if len(what) > maxText {
		what = strings.ToValidUTF8(what[:maxText], "") + "..."
	}
	return e.Method + " " + e.URL + ": " + what
}

// Unwrap returns what went wrong below HTTP.
func (e *Error) Unwrap() error { return e.Err }

// Partial returns what had arrived of an answer of success (2xx) that was cut off; empty when there was nothing. It is
// for what must not be lost, and never to be taken for the answer.
func Partial(err error) secret.Text {
	var e *Error
	if !errors.As(err, &e) {
		return secret.Text{}
	}
	return e.partial
}

// garbled stands for an error of a parser, whose text repeats what the server sent: maybe our own request.
type garbled struct{ err error }

func (*garbled) Error() string   { return "the connection broke off, or the answer is not valid HTTP" }
func (g *garbled) Unwrap() error { return g.err }

// tellable reports whether the text of a failure after the request was sent is known to be harmless.
func tellable(err error) bool {
	var network net.Error
	return permanent(err) || errors.As(err, &network) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Unsent reports whether err proves that the server has not seen the request: the name did not resolve, nobody
// answered, the TLS handshake failed. A token named in such a request is as good as before.
func Unsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Sent
}

// Temporary reports whether the same request may succeed later: timeouts, unreachable hosts, cut connections. A
// certificate that is not trusted, a refused URL, an answer that is too large and the caller's own cancellation are not
// temporary.
func Temporary(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	if errors.Is(err, context.Canceled) || permanent(err) {
		return false
	}
	return true
}

func permanent(err error) bool {
	for _, known := range []error{ErrTooLarge, ErrInsecure, ErrRedirect, ErrEncoded, http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return true
		}
	}
	var (
		cert   *tls.CertificateVerificationError
		bad    x509.CertificateInvalidError
		host   x509.HostnameError
		root   x509.UnknownAuthorityError
		record tls.RecordHeaderError
	)
	return errors.As(err, &cert) || errors.As(err, &bad) || errors.As(err, &host) || errors.As(err, &root) ||
		errors.As(err, &record)
}

// TemporaryStatus reports whether a status says "try again": 408, 429 and 5xx except 501 and 505.
func TemporaryStatus(status int) bool {
	switch status {
	case 408, 429:
		return true
	case 501, 505:
		return false
	}
	return status >= 500 && status < 600
}

// bare gives scheme, host and path: a query may carry a code, user information a password.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
