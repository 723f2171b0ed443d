package proto

import (
	"container/list"
	"context"
	"errors"
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
	loops, err := s.newLoops(ln)
	switch {
	case err != nil:
	case loops != nil:
		err = loops.run()
	default:
		err = s.accept(ln)
	}
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
	waiting list.List // of *seat without a whole request, oldest first
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
	c.hangUp = func() { _ = nc.Close() }
	if !s.takeSeat(&c.seat) {
		s.running.Go(c.refuse)
		return
	}
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
	c := s.waiting.Remove(front).(*seat)
	c.place = nil
	s.open--
	c.hangUp()
	return true
}

func (s *server) closeWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.evictLocked() {
	}
}

// seat is the place of a connection among MaxConns.
type seat struct {
	hangUp func()        // ends the connection while it waits; called with the server's mutex held
	place  *list.Element // among the waiting; guarded by server.mu
	busy   bool          // has a whole request; guarded by server.mu
}

// takeSeat gives c a place among the waiting, that of the one who has waited longest if need be. It is false when every
// place is taken by a request that runs.
func (s *server) takeSeat(c *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomLocked() {
		return false
	}
	s.open++
	c.place = s.waiting.PushBack(c)
	return true
}

func (s *server) roomLocked() bool {
	if s.open >= s.o.MaxConns {
		s.evictLocked()
	}
	return s.open < s.o.MaxConns && !s.closed
}

// promote takes c from the waiting ones, as its request is whole. It is false when c was closed for another one.
func (s *server) promote(c *seat) bool {
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
func (s *server) leave(c *seat) {
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

// respond returns the answer to the request in text, which came from peer.
func (s *server) respond(p sock.Peer, text []byte, peer func() (watchable, func(), error)) []byte {
	req, rep := readFor(text)
	if rep == nil {
		defer req.Wipe()
		req.peer = peer
		r := s.answer(p, req)
		rep = &r
	}
	return s.encode(rep, nil)
}

// readFor reads the request in text, or returns the answer to what is none.
func readFor(text []byte) (Request, *Reply) {
	req, err := decodeRequest(text)
	var rep Reply
	switch {
	case errors.Is(err, ErrMalformed):
		rep = Failure(TextNotJSON, "")
	case err != nil:
		rep = Failure(TextBadRequest+err.Error(), "")
	case req.Type == "":
		req.Wipe()
		rep = Failure(TextNoType, "")
	default:
		return req, nil
	}
	return Request{}, &rep
}

// encode returns the text of an answer, in room if it fits, and wipes the answer.
func (s *server) encode(rep *Reply, room []byte) []byte {
	defer rep.Wipe()
	out, err := encodeReply(rep, room)
	if err == nil && len(out) > MaxReply {
		clear(out)
		err = ErrTooLarge
	}
	if err != nil {
		s.log.Error("cannot answer", "err", err)
		failure := Failure("internal error", "")
		out, _ = encodeReply(&failure, nil)
	}
	return out
}

// answer calls the handler. Its panic is this connection's alone; the log gets the place, not the value, which may hold
// anything.
func (s *server) answer(p sock.Peer, req Request) (rep Reply) {
	defer func() {
		if v := recover(); v != nil {
			rep = s.panicked(req, v)
		}
	}()
	return s.handler.Handle(s.ctx, p, req)
}

// answerNow is answer as far as that needs no waiting.
func (s *server) answerNow(p sock.Peer, req Request) (rep Reply, ok bool) {
	h, ok := s.handler.(PromptHandler)
	if !ok {
		return Reply{}, false
	}
	defer func() {
		if v := recover(); v != nil {
			rep, ok = s.panicked(req, v), true
		}
	}()
	return h.HandleNow(s.ctx, p, req)
}

func (s *server) panicked(req Request, v any) Reply {
	cause := fmt.Sprintf("%T", v)
	if re, ok := v.(runtime.Error); ok {
		cause = re.Error()
	}
	s.log.Error("handler panicked", "op", req.Type, "err", cause, "stack", string(debug.Stack()))
	return Failure("internal error", "")
}
