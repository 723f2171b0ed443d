package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"syscall"
)

// ErrListen says that none of the redirect URIs can be listened on: not loopback, or the port is taken.
var ErrListen = errors.New("no redirect URI can be listened on")

const portTries = 20 // for port 0: both families have to have the same free port

// Listener waits on the loopback interface for a browser that comes back from the provider (RFC 8252 7.3).
type Listener struct {
	uri       string
	path      string
	listeners []net.Listener
	once      sync.Once
	done      chan struct{}
}

// Listen binds the first of the redirect URIs that can be had: http, host localhost, 127.0.0.1 or [::1], any path, port
// 0 for any. A port of localhost counts as free only when it is free on both address families of this machine, because
// the browser may try either and another user may sit on one. The error wraps ErrListen and says why for each URI.
func Listen(uris []string) (*Listener, error) {
	reasons := []error{ErrListen}
	for _, uri := range uris {
		l, err := listenURI(uri)
		if err == nil {
			return l, nil
		}
		reasons = append(reasons, err)
	}
	return nil, errors.Join(reasons...)
}

func listenURI(uri string) (*Listener, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, errors.New("a redirect URI cannot be parsed")
	}
	addrs := addresses(u.Hostname())
	if u.Scheme != "http" || len(addrs) == 0 || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%s is no http URI of the loopback interface", u.Redacted())
	}
	port := 80
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 0 || port > 65535 {
			return nil, fmt.Errorf("%s has no usable port", u.Redacted())
		}
	}
	lns, err := bind(addrs, port)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	if port == 0 {
		u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(portOf(lns[0])))
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return &Listener{uri: u.String(), path: path, listeners: lns, done: make(chan struct{})}, nil
}

// addresses returns where a browser may go for a host. IPv6 counts only where the machine has it.
func addresses(host string) []string {
	switch host {
	case "127.0.0.1", "::1":
		return []string{host}
	case "localhost":
		probe, err := net.Listen("tcp6", "[::1]:0")
		switch {
		case err == nil:
			_ = probe.Close()
		case !errors.Is(err, syscall.EADDRINUSE): // that is IPv6 with all its ports taken, perhaps by somebody
			return []string{"127.0.0.1"}
		}
		return []string{"127.0.0.1", "::1"}
	}
	return nil
}

func bind(addrs []string, port int) ([]net.Listener, error) {
	lns, err := bindAll(addrs, port)
	for range portTries {
		if err == nil || port != 0 {
			break
		}
		lns, err = bindAll(addrs, port)
	}
	return lns, err
}

func bindAll(addrs []string, port int) ([]net.Listener, error) {
	var lns []net.Listener
	for _, a := range addrs {
		ln, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(port)))
		if err != nil {
			closeAll(lns)
			return nil, err
		}
		lns = append(lns, ln)
		port = portOf(ln)
	}
	return lns, nil
}

func portOf(ln net.Listener) int {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		_ = ln.Close()
	}
}

// RedirectURI returns the URI that was bound, with its port.
func (l *Listener) RedirectURI() string { return l.uri }

// Close frees the port and ends a Wait. It may be called again.
func (l *Listener) Close() {
	l.once.Do(func() {
		close(l.done)
		closeAll(l.listeners)
	})
}

// Wait serves until the redirect with this state has come, and returns its query: a code or an error, for
// CodeLogin.Finish. Everything else gets an error page and changes nothing. The listener is closed afterwards, also
// when ctx ends (its error) or Close is called (net.ErrClosed).
func (l *Listener) Wait(ctx context.Context, state string) (url.Values, error) {
	if state == "" {
		l.Close()
		return nil, fmt.Errorf("wait for the redirect: %w", ErrState)
	}
	h := &redirect{path: l.path, state: state, got: make(chan url.Values, 1)}
	srv := redirectServer(h)
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxConnections)
	for _, ln := range l.listeners {
		wg.Go(func() { _ = srv.Serve(&limited{Listener: ln, slots: slots, done: l.done}) })
	}
	defer wg.Wait()
	defer l.Close()
	defer srv.Close() // not Shutdown: browsers keep connections open that they never use
	select {
	case q := <-h.got:
		return q, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the redirect: %w", ctx.Err())
	case <-l.done:
		return nil, fmt.Errorf("wait for the redirect: %w", net.ErrClosed)
	}
}
