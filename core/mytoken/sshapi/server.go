package sshapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/limit"
)

// Keys knows what lies under user names; *desk.Desk is one.
type Keys interface {
	// SSHKnown reports whether a user name goes with the key of a fingerprint. An error is one of the server: whatever is
	// wrong about the two is false.
	SSHKnown(ctx context.Context, user secret.Text, fingerprint string) (bool, error)
	// SSHEnter returns the mytoken that lies there, for one command. The error is a *desk.Error, or one of the server.
	SSHEnter(ctx context.Context, user secret.Text, fingerprint string) (desk.SSHUse, error)
	// SSHLeave ends that: update is what the mytoken was replaced by, empty where it was not. It is wiped.
	SSHLeave(ctx context.Context, u desk.SSHUse, update secret.Text) error
}

// Limits bound what strangers can have. Zero values are the defaults that stand beside them.
type Limits struct {
	Connections int           // at one time: 256
	PerAddress  int           // of those, from one address: 16
	Handshake   time.Duration // until a key has proved itself: 10 s
	Idle        time.Duration // then, until there is a command: 10 s
	Total       time.Duration // of a connection: 30 s
	Command     int           // bytes of a command: 64 KiB
	Answer      int           // bytes of an answer: 1 MiB
	Refused     int           // keys refused to one address in a minute, before it is not listened to: 60
	Grace       time.Duration // for commands under way when the server ends: 10 s
}

func (l *Limits) settle() {
	for _, d := range []struct {
		to      *time.Duration
		without time.Duration
	}{
		{&l.Handshake, 10 * time.Second},
		{&l.Idle, 10 * time.Second},
		{&l.Total, 30 * time.Second},
		{&l.Grace, 10 * time.Second},
	} {
		if *d.to <= 0 {
			*d.to = d.without
		}
	}
	for _, n := range []struct {
		to      *int
		without int
	}{
		{&l.Connections, 256},
		{&l.PerAddress, 16},
		{&l.Command, 64 << 10},
		{&l.Answer, 1 << 20},
		{&l.Refused, 60},
	} {
		if *n.to <= 0 {
			*n.to = n.without
		}
	}
}

// Options of a Server. API, Keys and HostKeys are needed.
type Options struct {
	// API is the HTTP interface of the server; see core/mytoken/httpapi.
	API      http.Handler
	Keys     Keys
	HostKeys []ssh.Signer
	// Proxies are peers that begin with a PROXY header, all of them always. Nobody else's header is believed.
	Proxies []netip.Prefix
	Limits  Limits
	// Seen is told of every command, and of connections that brought none: outcome is "ok" or the code of a refusal. It
	// must not block. nil: nobody is.
	Seen func(ctx context.Context, action, outcome string, took time.Duration)
	Now  func() time.Time
	Log  *slog.Logger
}

// ErrOptions is returned by New for options that make no server.
var ErrOptions = errors.New("ssh server is not configured")

// Server is an ssh server.
type Server struct {
	o       Options
	refused *limit.Limiter
	slots   chan struct{}

	mu   sync.Mutex
	from map[string]int // connections by address
}

// New returns a server. It listens nowhere. The error is ErrOptions.
func New(o Options) (*Server, error) {
	if o.API == nil || o.Keys == nil || len(o.HostKeys) == 0 {
		return nil, fmt.Errorf("%w: no API, no keys or no host keys", ErrOptions)
	}
	o.Limits.settle()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Seen == nil {
		o.Seen = func(context.Context, string, string, time.Duration) {}
	}
	s := &Server{
		o: o, slots: make(chan struct{}, o.Limits.Connections), from: map[string]int{},
		refused: limit.New(limit.Options{Events: o.Limits.Refused, Per: time.Minute, Now: o.Now}),
	}
	return s, nil
}

// errFull says that there are too many connections.
var errFull = errors.New("too many connections")

// Serve answers connections of ln until ctx ends. Then nobody new is let in, who has no command is cut off, and the
// commands under way get their time. It closes ln. The error is nil after ctx has ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer ln.Close() //nolint:errcheck // it may be closed already
	for pause := time.Duration(0); ; {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve ssh: %w", err)
		case err != nil: // out of descriptors, or a connection that is gone: it passes
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Log.WarnContext(ctx, "ssh connection not accepted", "err", err)
			if !sleep(ctx, pause) {
				return nil
			}
			continue
		}
		pause = 0
		select {
		case s.slots <- struct{}{}:
		default:
			_ = conn.Close()
			s.o.Seen(ctx, "connect", desk.CodeTooMany, 0)
			continue
		}
		all.Go(func() {
			defer func() { <-s.slots }()
			s.serve(ctx, conn)
		})
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// enter counts a connection of an address. The address of a proxy's client is known only after its header.
func (s *Server) enter(client netip.Addr) (leave func(), err error) {
	key := limit.Address(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from[key] >= s.o.Limits.PerAddress {
		return nil, errFull
	}
	s.from[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.from[key]--; s.from[key] == 0 {
			delete(s.from, key)
		}
	}, nil
}
