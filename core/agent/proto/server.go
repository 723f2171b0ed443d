package proto

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	defaultConns = 512
	// defaultSilent is how long a connection may say nothing. The protocol lets a client connect early, and waiting costs
	// a few kilobytes; when places run out the longest waiting goes first.
	defaultSilent = 60 * time.Second
	// defaultPartial is how long a message may take once it has begun: clients send it in one piece, only a forwarded
	// connection over a bad line cuts it up.
	defaultPartial = 10 * time.Second
	writeTime      = 10 * time.Second
	// maxPause is the longest wait after accept has failed for want of descriptors.
	maxPause = time.Second
)

// ServeOptions say how Serve treats connections. The zero value is right for an agent.
type ServeOptions struct {
	// Allow says which peers may speak; nil is those that run as us (sock.Own).
	Allow func(sock.Peer) bool
	// MaxConns bounds the connections; 0 is 512. At the bound the one that has waited longest for its client to say
	// something is closed for the newcomer.
	MaxConns int
	Silent   time.Duration // before the first byte; 0 is a minute
	Partial  time.Duration // from the first byte to the end of the request; 0 is ten seconds
	Log      *slog.Logger  // nil is silence
}

// Serve answers the connections of ln until ctx ends, and then returns nil after the handlers that run have returned
// and their answers are written. It closes ln. The error is that of Accept when ln broke.
func Serve(ctx context.Context, ln net.Listener, h Handler, o ServeOptions) error {
	s := &server{ctx: ctx, handler: h, o: o.withDefaults()}
	s.log = s.o.Log
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	err := s.accept(ln)
	stop()
	_ = ln.Close()
	s.closeWaiting()
	s.running.Wait()
	return err
}

func (o ServeOptions) withDefaults() ServeOptions {
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	if o.Silent <= 0 {
		o.Silent = defaultSilent
	}
	if o.Partial <= 0 {
		o.Partial = defaultPartial
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

type server struct {
	ctx     context.Context //nolint:containedctx // the life of Serve, which owns this value
	handler Handler
	o       ServeOptions
	log     *slog.Logger
	running sync.WaitGroup

	mu      sync.Mutex
	open    int
	waiting list.List // of *conn without a whole request, oldest first
	closed  bool
}

func (s *server) accept(ln net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(nc)
		case s.ctx.Err() != nil:
			return nil
		case temporary(err):
			s.log.Warn("cannot accept", "err", err)
			s.evict()
			pause = min(max(5*time.Millisecond, 2*pause), maxPause)
			if !sleep(s.ctx, pause) {
				return nil
			}
		default:
			return fmt.Errorf("accept at %s: %w", ln.Addr(), err)
		}
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

// admit gives the connection a place and a goroutine of its own. It never waits.
func (s *server) admit(nc net.Conn) {
	c := &conn{Conn: nc, s: s}
	s.mu.Lock()
	if s.open >= s.o.MaxConns {
		s.evictLocked()
	}
	if s.open >= s.o.MaxConns || s.closed {
		s.mu.Unlock()
		s.running.Go(c.refuse)
		return
	}
	s.open++
	c.place = s.waiting.PushBack(c)
	s.mu.Unlock()
	s.running.Go(c.serve)
}

// evict closes the connection that has waited longest.
func (s *server) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evictLocked()
}

func (s *server) evictLocked() bool {
	front := s.waiting.Front()
	if front == nil {
		return false
	}
	c := s.waiting.Remove(front).(*conn)
	c.place = nil
	s.open--
	_ = c.Close()
	return true
}

func (s *server) closeWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.evictLocked() {
	}
}

// promote takes c from the waiting ones, as its request is whole. It is false when c was closed for another one.
func (s *server) promote(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place == nil {
		return false
	}
	s.waiting.Remove(c.place)
	c.place = nil
	c.busy = true
	return true
}

// leave gives the place back.
func (s *server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place != nil {
		s.waiting.Remove(c.place)
		c.place = nil
		s.open--
	}
	if c.busy {
		c.busy = false
		s.open--
	}
}

// answer calls the handler. Its panic is this connection's alone; the log gets the place, not the value, which may hold
// anything.
func (s *server) answer(p sock.Peer, req Request) (rep Reply) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		cause := fmt.Sprintf("%T", v)
		if re, ok := v.(runtime.Error); ok {
			cause = re.Error()
		}
		s.log.Error("handler panicked", "op", req.Type, "err", cause, "stack", string(debug.Stack()))
		rep = Failure("internal error", "")
	}()
	return s.handler.Handle(s.ctx, p, req)
}
