package sshlogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Description is what the root of every account service says of itself. Clients know a service by it.
const Description = "This is the user API for mapping remote identities to local identities."

// Doer sends requests: *httpc.Client.
type Doer interface {
	Do(ctx context.Context, req *http.Request) (*httpc.Response, error)
}

// Finder looks for the account service of a host.
type Finder struct {
	HTTP  Doer // a client with a short time limit
	Clear Doer // the same for plain http; nil where a service in clear text is of no use
}

// Find returns the base URL of the service of host: https on port 443, then 8443, then plain http on 8080. A
// certificate that is not trusted ends the search: what answers elsewhere might be the attacker. The error wraps
// ErrNoService when nobody answers.
func (f Finder) Find(ctx context.Context, host string) (base string, err error) {
	var errs []error
	answers := make([]chan error, 2)
	bases := []string{"https://" + literal(host), "https://" + net.JoinHostPort(host, "8443")}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range bases {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- f.look(ctx, f.HTTP, bases[i]) }()
	}
	for i, answer := range answers {
		err := <-answer
		if err == nil {
			cancel()
			for _, later := range answers[i+1:] {
				<-later
			}
			return bases[i], nil
		}
		if untrusted(err) {
			cancel()
			for _, later := range answers[i+1:] {
				<-later
			}
			return "", fmt.Errorf("find the account service of %s: %w", host, err)
		}
		errs = append(errs, err)
	}
	if f.Clear != nil {
		base := "http://" + net.JoinHostPort(host, "8080")
		err := f.look(ctx, f.Clear, base)
		if err == nil {
			return base, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("%w at %s: %w", ErrNoService, host, errors.Join(errs...))
}

// untrusted reports a TLS peer that is not who it should be, or that TLS is broken with.
func untrusted(err error) bool {
	var at *httpc.Error
	if !errors.As(err, &at) || httpc.Temporary(err) {
		return false
	}
	for _, other := range []error{
		context.Canceled, httpc.ErrTooLarge, httpc.ErrRedirect, httpc.ErrEncoded, httpc.ErrInsecure,
	} {
		if errors.Is(err, other) {
			return false // something else than a service answers there
		}
	}
	return true
}

// Named returns the base of a service that somebody has named: without a scheme https is tried, and then http where
// that is allowed.
func (f Finder) Named(ctx context.Context, endpoint string) (base string, err error) {
	endpoint = strings.TrimRight(endpoint, "/")
	if strings.Contains(endpoint, "://") {
		return endpoint, f.look(ctx, f.doerFor(endpoint), endpoint)
	}
	err = f.look(ctx, f.HTTP, "https://"+endpoint)
	if err == nil || f.Clear == nil || untrusted(err) {
		return "https://" + endpoint, err
	}
	if f.look(ctx, f.Clear, "http://"+endpoint) == nil {
		return "http://" + endpoint, nil
	}
	return "https://" + endpoint, err
}

func (f Finder) doerFor(base string) Doer {
	if f.Clear != nil && strings.HasPrefix(base, "http://") {
		return f.Clear
	}
	return f.HTTP
}

func (f Finder) look(ctx context.Context, by Doer, base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%w: %q is no URL of one", ErrNotService, base)
	}
	r, err := get(ctx, by, base+"/")
	if err != nil {
		return err
	}
	var said struct {
		Description string `json:"description"`
	}
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &said) != nil || said.Description != Description {
		return fmt.Errorf("%s: %w", base, ErrNotService)
	}
	return nil
}

func get(ctx context.Context, by Doer, target string) (*httpc.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	return by.Do(ctx, req)
}

// literal is a host as a URL has it: in brackets when it is an IPv6 address.
func literal(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
