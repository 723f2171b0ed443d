package provisioner

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/relay"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// certificate is one that is read anew at a reload.
type certificate struct {
	cert, key string // files
	now       atomic.Pointer[tls.Certificate]
}

func openCertificate(cert, key string) (*certificate, error) {
	c := &certificate{cert: cert, key: key}
	return c, c.renew()
}

// renew reads it. One that cannot be read leaves the old one in use.
func (c *certificate) renew() error {
	got, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read certificate and key: %w", err)
	}
	c.now.Store(&got)
	return nil
}

// current is for relay.Options and relay.Identity.
func (c *certificate) current() (*tls.Certificate, error) { return c.now.Load(), nil }

// relayDoor is where relays ask.
type relayDoor struct {
	listener net.Listener
	own      *certificate
	tls      *tls.Config
	names    []string
}

// openRelays makes the listener for relays; nil where there are none.
func (d *server) openRelays(s *settings) (*relayDoor, error) {
	p := s.relays
	if p.listen == "" {
		return nil, nil //nolint:nilnil // there are none, which is no error
	}
	own, err := openCertificate(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("relays: %w", err)
	}
	b, err := config.ReadFile(p.clientCA, config.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("relays: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("relays: no certificate in %s", p.clientCA)
	}
	conf, err := relay.Identity{Certificate: own.current, Nodes: pool, Names: p.names}.TLS()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", p.listen)
	if err != nil {
		return nil, fmt.Errorf("listen for relays: %w", err)
	}
	return &relayDoor{listener: ln, own: own, tls: conf, names: p.names}, nil
}

// serve answers relays until ctx ends.
func (r *relayDoor) serve(ctx context.Context, d *server) error {
	h := relay.Server{
		Names: r.names, Log: d.log,
		Login: func(ctx context.Context, q login.Question) login.Answer {
			g := d.live.Acquire()
			defer g.Release()
			return g.api.Login(ctx, q)
		},
		API: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			g := d.live.Acquire()
			defer g.Release()
			g.api.Handler().ServeHTTP(w, req)
		}),
	}
	return httpd.Serve(ctx, r.listener, h.Handler(), httpd.Options{
		Log: d.log, Grace: d.started.grace, MaxConns: d.started.conns, MaxHeader: maxHeader, TLS: r.tls,
	})
}

func (r *relayDoor) name() string { return "tcp:" + r.listener.Addr().String() }

func (r *relayDoor) close() { _ = r.listener.Close() }
