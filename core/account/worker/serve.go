package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/transport/limit"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Bounds of the server.
const (
	maxConns     = 128              // at once; more wait to be accepted
	readTimeout  = 10 * time.Second // for a whole request
	writeTimeout = 10 * time.Second // for each line of an answer
	opTimeout    = 50 * time.Second // for what is done: below a client's DefaultTimeout
	listTimeout  = 10 * time.Minute // for a list of all accounts
)

// server answers requests. Its methods check; the System does.
type server struct {
	Options
	ledger  *ledger
	busy    keyed // by identity
	creates *limit.Limiter
	changes *limit.Limiter
	groups  *limit.Limiter
	counter sync.Mutex // while a uid is chosen
	lists   chan struct{}
	telling sync.Mutex // Audit is told one thing at a time
}

func newServer(o Options) (*server, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rate.Creates == 0 {
		o.Rate.Creates = DefaultCreates
	}
	if o.Rate.Changes == 0 {
		o.Rate.Changes = DefaultChanges
	}
	if o.PostCreateTimeout <= 0 {
		o.PostCreateTimeout = DefaultPostCreateTimeout
	}
	return &server{
		Options: o,
		ledger:  &ledger{engine: o.Ledger, now: o.Now},
		creates: limit.New(limit.Options{Events: o.Rate.Creates, Per: time.Hour, Now: o.Now}),
		changes: limit.New(limit.Options{Events: o.Rate.Changes, Per: time.Minute, Now: o.Now}),
		groups:  limit.New(limit.Options{Events: 10 * o.Rate.Creates, Per: time.Hour, Now: o.Now}),
		lists:   make(chan struct{}, 1),
	}, nil
}

// Serve answers at ln until ctx is done, and waits for what is under way, at most a minute. Before that it writes marks
// that are missing. It closes ln. The error is ErrOptions, or why it could not begin or go on.
func Serve(ctx context.Context, ln net.Listener, o Options) error {
	defer ln.Close()
	s, err := newServer(o)
	if err != nil {
		return err
	}
	if err := s.writeMarks(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	room := make(chan struct{}, maxConns)
	for {
		room <- struct{}{}
		conn, err := accept(ctx, ln)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept at the worker's socket: %w", err)
		}
		running.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			s.converse(ctx, conn)
		})
	}
}

// accept bears passing failures: too many open files, a client that has gone.
func accept(ctx context.Context, ln net.Listener) (net.Conn, error) {
	const patience = 100
	for tries := 0; ; tries++ {
		conn, err := ln.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) || tries == patience {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// converse is one connection: one request, one answer.
func (s *server) converse(ctx context.Context, conn net.Conn) {
	peer, err := sock.Admit(conn, func(p sock.Peer) bool { return slices.Contains(s.Peers, p.UID) })
	if err != nil {
		s.tell(Event{Event: "refused", PeerUID: peer.UID, PeerPID: peer.PID, Reason: "peer may not ask"})
		return
	}
	if conn.SetReadDeadline(time.Now().Add(readTimeout)) != nil {
		return
	}
	line, err := readLine(bufio.NewReader(conn))
	if err != nil && !errors.Is(err, ErrProtocol) {
		return
	}
	var q request
	if err == nil {
		q, err = parseRequest(line)
	}
	if err != nil {
		s.tell(Event{Event: "refused", PeerUID: peer.UID, PeerPID: peer.PID, Reason: err.Error()})
		_ = s.send(conn, reply{Error: faultOf(err)})
		return
	}
	limit := listTimeout
	if q.Op != opAll {
		// A change that was begun is brought to its end, whether the other side waits for it or not, and while we are
		// stopped.
		ctx, limit = context.WithoutCancel(ctx), opTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := s.handle(ctx, conn, caller{peer: peer, request: q})
	if err != nil {
		r = reply{Error: faultOf(err)}
	}
	_ = s.send(conn, r)
}

func (s *server) send(conn net.Conn, r reply) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if len(b) >= maxLine {
		b = []byte(`{"error":{"code":"failed","text":"answer is too long"}}`)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = conn.Write(append(b, '\n'))
	return err
}

// caller is a request with who made it.
type caller struct {
	peer sock.Peer
	request
}

func (s *server) handle(ctx context.Context, conn net.Conn, c caller) (reply, error) {
	switch c.Op {
	case opFind:
		a, err := s.find(ctx, c.ID)
		return reply{Account: &a}, err
	case opHolder:
		h, err := s.holder(ctx, c.Name)
		return reply{Holder: &h}, err
	case opAll:
		return reply{}, s.all(ctx, conn)
	case opTrust:
		return reply{}, s.System.Trust(ctx)
	}
	e := Event{Event: c.Op, Op: c.Op, PeerUID: c.peer.UID, PeerPID: c.peer.PID}
	r, err := s.change(ctx, c, &e)
	if err != nil {
		e.Reason = err.Error()
		e.Event = "failed"
		if refusal(err) {
			e.Event = "refused"
		}
	}
	s.tell(e)
	return r, err
}

// refusal tells what was refused from what went wrong.
func refusal(err error) bool {
	for _, kind := range []error{backend.ErrRefused, backend.ErrMismatch, backend.ErrTaken, backend.ErrNoAccount} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (s *server) change(ctx context.Context, c caller, e *Event) (reply, error) {
	if c.Op == opDeploy {
		done, err := s.deploy(ctx, *c.Wanted, e)
		return reply{Done: &done}, err
	}
	e.ID, e.Name = safeID(c.Ref.ID), safeName(c.Ref.Name)
	return reply{}, s.changeAccount(ctx, c.request, e)
}

func (s *server) tell(e Event) {
	e.Time = s.Now()
	if e.Event == "refused" || e.Event == "failed" {
		s.Log.Warn("account: "+e.Event, "op", e.Op, "id", e.ID, "name", e.Name, "peer_uid", e.PeerUID, "reason", e.Reason)
	}
	if s.Audit == nil {
		return
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.Audit(e)
}
