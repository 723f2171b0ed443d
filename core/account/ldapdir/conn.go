package ldapdir

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

const (
	maxAtOnce = 16               // connections, all servers together
	maxIdle   = 4                // kept, for each server
	idleTime  = 30 * time.Second // servers and firewalls cut what is silent for long
	downTime  = 15 * time.Second // how long a server that did not answer is asked last
	maxAnswer = 2 << 20          // bytes of one answer
)

// session is one bound connection, for one caller at a time.
type session struct {
	*ldap.Conn
	raw   *meter
	since time.Time
}

// meter bounds what a server may send between two resets.
type meter struct {
	net.Conn
	read atomic.Int64
}

var errTooMuch = errors.New("answer of the directory is too long")

func (m *meter) Read(b []byte) (int, error) {
	if m.read.Load() > maxAnswer {
		return 0, errTooMuch
	}
	n, err := m.Conn.Read(b)
	m.read.Add(int64(n))
	return n, err
}

// place is a server and the connections to it that nobody uses now.
type place struct {
	server
	mu   sync.Mutex
	idle []*session
	down time.Time // until when it is asked last
}

func (p *place) take(now time.Time) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		s := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if now.Sub(s.since) < idleTime && !s.IsClosing() {
			return s
		}
		_ = s.Close()
	}
	return nil
}

func (p *place) give(s *session, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= maxIdle || s.IsClosing() {
		_ = s.Close()
		return
	}
	s.since = now
	p.idle = append(p.idle, s)
}

func (p *place) failed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = now.Add(downTime)
}

func (p *place) isDown(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.down)
}

// change runs fn at the first server, where alone things are changed: counters on two servers would count twice.
func (d *Dir) change(ctx context.Context, fn func(*session) error) error {
	return d.at(ctx, d.places[0], fn)
}

// ask runs fn at the first server that answers. Servers that did not a moment ago come last.
func (d *Dir) ask(ctx context.Context, fn func(*session) error) error {
	now := d.opt.Now()
	var up, down []*place
	for _, p := range d.places {
		if p.isDown(now) {
			down = append(down, p)
			continue
		}
		up = append(up, p)
	}
	var errs []error
	for _, p := range append(up, down...) {
		err := d.at(ctx, p, fn)
		if err == nil || !errors.Is(err, backend.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// at runs fn with a connection to one server. When a connection that lay idle turns out to be cut, fn runs once more
// with a new one: everything done here may be done twice.
func (d *Dir) at(ctx context.Context, p *place, fn func(*session) error) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	}
	if s := p.take(d.opt.Now()); s != nil {
		err := d.with(ctx, p, s, fn)
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			return err
		}
	}
	s, err := d.dial(ctx, p.server)
	if err != nil {
		p.failed(d.opt.Now())
		return fmt.Errorf("reach %s: %w", p.text, err)
	}
	return d.with(ctx, p, s, fn)
}

// with runs fn and keeps the connection when it is still good.
func (d *Dir) with(ctx context.Context, p *place, s *session, fn func(*session) error) error {
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	err := fn(s)
	if !stop() || errors.Is(err, errBroken) {
		_ = s.Close()
		return err
	}
	p.give(s, d.opt.Now())
	return err
}

// dial connects, encrypts and binds.
func (d *Dir) dial(ctx context.Context, srv server) (*session, error) {
	return d.dialAs(ctx, srv, Login{DN: d.opt.BindDN, Password: d.opt.Password})
}

func (d *Dir) dialAs(ctx context.Context, srv server, who Login) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, srv.network, srv.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	s := &session{raw: &meter{Conn: conn}}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = d.greet(ctx, srv, s, who)
	if !stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		if s.Conn != nil {
			_ = s.Close()
		}
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (d *Dir) greet(ctx context.Context, srv server, s *session, who Login) error {
	var conn net.Conn = s.raw
	if srv.ldaps {
		secured := tls.Client(conn, srv.tls(d.roots))
		if err := secured.HandshakeContext(ctx); err != nil {
			return unsafe(ctx, err)
		}
		conn = secured
	}
	s.Conn = ldap.NewConn(conn, srv.ldaps)
	s.Start()
	if srv.startTLS {
		if err := s.StartTLS(srv.tls(d.roots)); err != nil {
			return unsafe(ctx, err)
		}
	}
	s.SetTimeout(d.opt.Timeout) // until here ctx bounds it: a server that is silent is not one that refuses to encrypt
	return bind(ctx, srv, s, who)
}

// unsafe is why there is no encryption: a server that does not answer in time has not refused it.
func unsafe(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("%w: %w: %s", backend.ErrUnavailable, ErrPlain, short(err.Error()))
}

func bind(ctx context.Context, srv server, s *session, who Login) error {
	var err error
	switch {
	case who.DN != "":
		err = s.Bind(who.DN, who.Password.Expose())
	case srv.local:
		err = s.ExternalBind()
	}
	if err != nil {
		return fmt.Errorf("bind: %w", translate(ctx, err))
	}
	return nil
}

// Close ends the connections that lie idle. The Dir may be used after it.
func (d *Dir) Close() {
	for _, p := range d.places {
		p.mu.Lock()
		for _, s := range p.idle {
			_ = s.Close()
		}
		p.idle = nil
		p.mu.Unlock()
	}
}
