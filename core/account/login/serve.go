package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	defaultParallel = 64
	acceptPause     = 50 * time.Millisecond // after an error of accept: too many open files goes away again
)

// Handler answers a question. It returns by the end of ctx, and keeps a clone of the secret if it keeps any.
type Handler func(ctx context.Context, peer sock.Peer, q Question) Answer

// ServeOptions say who may ask, how long an answer may take and how many are worked on at once.
type ServeOptions struct {
	Allow    func(sock.Peer) bool // nil is root alone
	Time     time.Duration        // for a question, from the first byte to the last; 0 is DefaultTime
	Parallel int                  // 0 is 64; who comes then waits in the socket's queue
	Log      *slog.Logger         // nil for none: what was no question, and who may not ask
}

// Serve answers questions until ctx ends or ln is closed, then waits for the answers under way. It closes ln. The error
// is that of the listener, nil after the end of ctx.
func Serve(ctx context.Context, ln net.Listener, h Handler, o ServeOptions) error {
	s := server{handler: h, o: o}
	if o.Allow == nil {
		s.o.Allow = func(p sock.Peer) bool { return p.UID == 0 }
	}
	if o.Time <= 0 {
		s.o.Time = DefaultTime
	}
	if o.Parallel <= 0 {
		s.o.Parallel = defaultParallel
	}
	if o.Log == nil {
		s.o.Log = slog.New(slog.DiscardHandler)
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer ln.Close()
	var answers sync.WaitGroup
	defer answers.Wait()
	slots := make(chan struct{}, s.o.Parallel)
	for {
		slots <- struct{}{}
		c, err := ln.Accept()
		switch {
		case err == nil:
			answers.Go(func() {
				defer func() { <-slots }()
				s.answer(ctx, c)
			})
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept a question: %w", err)
		}
		<-slots
		s.o.Log.Warn("accept a question about a login", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(acceptPause):
		}
	}
}

type server struct {
	handler Handler
	o       ServeOptions
}

// answer serves one connection. Who may not ask gets no answer at all.
func (s server) answer(ctx context.Context, c net.Conn) {
	defer c.Close()
	peer, err := sock.Admit(c, s.o.Allow)
	if err != nil {
		s.o.Log.Warn("somebody else asks about a login", "uid", peer.UID, "pid", peer.PID, "error", err)
		return
	}
	// The answers under way are finished when the daemon stops: their time is short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Time)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return
	}
	q, err := readQuestion(c)
	if err != nil {
		s.o.Log.Warn("read a question about a login", "uid", peer.UID, "pid", peer.PID, "error", err)
		_ = Answer{Reason: ErrQuestion.Error()}.write(c)
		return
	}
	defer q.Secret.Wipe()
	a := s.handler(ctx, peer, q)
	if ctx.Err() != nil {
		a = Answer{Reason: ErrLate.Error()}
	}
	if err := a.write(c); err != nil {
		s.o.Log.Warn("answer a question about a login", "pid", peer.PID, "error", err)
	}
}
