package self

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// providersAtOnce bounds the requests that run side by side.
const providersAtOnce = 8

// Skews of the clock beyond which something is said.
const (
	skewNote    = 5 * time.Second
	skewWarning = 30 * time.Second
	skewFault   = 5 * time.Minute
)

// target is one provider, or mytoken server, of some logins.
type target struct {
	mytoken                bool
	issuer, document, cert string
}

func (l knownLogin) target() target {
	if l.mytokenURL != "" {
		return target{mytoken: true, issuer: l.mytokenURL, cert: l.cert}
	}
	return target{issuer: l.issuer, document: l.document, cert: l.cert}
}

// providers asks the providers of the logins, each once.
func (d *doctor) providers(ctx context.Context, known []knownLogin) []finding {
	names := map[target][]string{}
	var order []target
	for _, l := range known {
		t := l.target()
		if t.issuer == "" && t.document == "" {
			continue
		}
		if names[t] == nil {
			order = append(order, t)
		}
		names[t] = append(names[t], l.name)
	}
	show := newProgress(d.env, len(order))
	defer show.end()
	lists := make([]findings, len(order))
	var g errgroup.Group
	g.SetLimit(providersAtOnce)
	for i, t := range order {
		g.Go(func() error {
			slices.Sort(names[t])
			ctx, cancel := context.WithTimeout(ctx, providerWait)
			defer cancel()
			lists[i].area = "provider"
			d.provider(ctx, &lists[i], t, strings.Join(names[t], ", "))
			show.step()
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	var all []finding
	for _, f := range lists {
		all = append(all, f.list...)
	}
	return all
}

// progress is a line on the terminal that says how far it has come, and goes away at the end.
type progress struct {
	to  io.Writer // nil: nobody watches
	all int

	mu   sync.Mutex
	done int
}

func newProgress(env *cli.Env, all int) *progress {
	p := &progress{all: all}
	if all > 0 && cli.IsTerminal(env.Stderr) {
		p.to = env.Stderr
		p.write()
	}
	return p
}

// write is called by one at a time.
func (p *progress) write() {
	fmt.Fprintf(p.to, "\rasked %d of %s, at most %v each ...", p.done, counted(p.all, "provider"), providerWait)
}

func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done++; p.to != nil {
		p.write()
	}
}

func (p *progress) end() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// dated is an HTTP client that remembers how the clock of the server compares with ours.
type dated struct {
	*httpc.Client
	now func() time.Time

	mu   sync.Mutex
	skew time.Duration
	know bool
}

// Get notes the Date header (RFC 9110 6.6.1), which is good to a second and half the time the answer took.
func (c *dated) Get(ctx context.Context, url string) (*httpc.Response, error) {
	sent := c.now()
	r, err := c.Client.Get(ctx, url)
	if err != nil {
		return r, err
	}
	at, parseErr := http.ParseTime(r.Header.Get("Date"))
	if parseErr == nil {
		middle := sent.Add(c.now().Sub(sent) / 2)
		c.mu.Lock()
		c.skew, c.know = middle.Sub(at.Add(500*time.Millisecond)), true
		c.mu.Unlock()
	}
	return r, err
}

func (d *doctor) provider(ctx context.Context, f *findings, t target, logins string) {
	about := t.issuer
	if about == "" {
		about = t.document
	}
	about += " (" + logins + ")"
	hc, err := httpc.New(httpc.Options{
		CAFile: t.cert, UserAgent: "oidcbox-doctor", Getenv: d.env.Getenv, Timeout: providerWait,
	})
	if err != nil {
		f.add(sevFault, "ca", about, oneLine(err), "mend cert_path of the login, or SSL_CERT_FILE")
		return
	}
	defer hc.CloseIdle()
	get := &dated{Client: hc, now: d.env.Now}
	began := d.env.Now()
	jwks, err := discoverTarget(ctx, get, t)
	defer func() { get.judge(f, about) }()
	if err != nil {
		text, next := explainReach(err)
		f.add(sevFault, "unreachable", about, text, next)
		return
	}
	took := d.env.Now().Sub(began).Round(time.Millisecond)
	if jwks == "" {
		f.ok("reachable", about, fmt.Sprintf("answers in %v; it has no signing keys to fetch", took))
		return
	}
	n, err := keysAt(ctx, get, jwks)
	switch {
	case err != nil:
		text, next := explainReach(err)
		f.add(sevFault, "keys", about, "its signing keys cannot be had: "+text, next)
	case n == 0:
		f.add(sevWarning, "keys", about, "its key set has no key that is usable here", "tell the provider")
	default:
		f.ok("reachable", about, fmt.Sprintf("answers in %v, %s", took, counted(n, "signing key")))
	}
}

func discoverTarget(ctx context.Context, get *dated, t target) (jwks string, err error) {
	if t.mytoken {
		s, err := mytoken.Discover(ctx, get, t.issuer)
		if err != nil {
			return "", err
		}
		return s.JWKSURI, nil
	}
	var md *provider.Metadata
	if t.document != "" {
		md, err = provider.DiscoverAt(ctx, get, t.document)
	} else {
		md, _, err = provider.DiscoverTyped(ctx, get, t.issuer)
	}
	if err != nil {
		return "", err
	}
	return md.JWKSURI, nil
}

func keysAt(ctx context.Context, get *dated, url string) (int, error) {
	r, err := get.Get(ctx, url)
	if err != nil {
		return 0, err
	}
	if r.Status != http.StatusOK {
		return 0, &provider.StatusError{URL: url, Status: r.Status}
	}
	set, _, err := jose.ParseKeySet(r.Body)
	if err != nil {
		return 0, err
	}
	return set.Len(), nil
}

// judge says how wrong the clock is.
func (c *dated) judge(f *findings, about string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.know {
		return
	}
	way := "ahead of"
	if c.skew < 0 {
		way = "behind"
	}
	text := fmt.Sprintf("the clock of this machine is %v %s that of the provider", c.skew.Abs().Round(time.Second), way)
	const next = "set the clock (timedatectl set-ntp true, or ask the administrator)"
	switch skew := c.skew.Abs(); {
	case skew >= skewFault:
		f.add(sevFault, "clock", about, text+": tokens count as expired or not yet valid", next)
	case skew >= skewWarning:
		f.add(sevWarning, "clock", about, text, next)
	case skew >= skewNote:
		f.add(sevNote, "clock", about, text, "")
	default:
		f.ok("clock", about, "the clocks agree")
	}
}

// explainReach says in words why a server could not be asked, and what to do.
func explainReach(err error) (text, next string) {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		status  *provider.StatusError
		other   *provider.IssuerError
		timeout net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return "the certificate of the server is signed by an authority that this machine does not know",
			"install the authority's certificate, or name it with cert_path in the login or SSL_CERT_FILE; " +
				"if it appeared all of a sudden, somebody may listen in"
	case errors.As(err, &host):
		return "the certificate of the server is for another name", "check the issuer URL; if it is right, tell the provider"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the server has expired or is not yet valid",
			"check the date of this machine; if it is right, tell the provider"
	case errors.As(err, &invalid):
		return "the certificate of the server is not acceptable: " + oneLine(err), "tell the provider"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS at this port", "check the issuer URL and its port; a proxy may be in between"
	case errors.As(err, &dns):
		return "its host name cannot be resolved", "check the issuer URL, the network and /etc/resolv.conf"
	case errors.As(err, &other), errors.Is(err, mytoken.ErrOtherServer):
		return oneLine(err), "set the login up again with the issuer that the provider names"
	case errors.As(err, &status), errors.Is(err, provider.ErrNoMetadata), errors.Is(err, mytoken.ErrServer):
		return oneLine(err), "check the issuer URL; if it is right, the provider is in trouble: try again later"
	case errors.Is(err, httpc.ErrInsecure):
		return oneLine(err), "use the https URL of the provider"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time", "check the network and proxy settings (https_proxy, no_proxy), or try again later"
	}
	return oneLine(err), "check the network, and whether a proxy is needed (https_proxy)"
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
