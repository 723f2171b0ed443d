package proto

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// defaultTimeout is longer than any wait inside an agent: the original shows a login page for up to 300 s.
const defaultTimeout = 330 * time.Second

// Client asks an agent, ours or the original, one request per connection.
type Client struct {
	Path string // of the socket
	// Dial replaces sock.Dial(ctx, Path).
	Dial func(ctx context.Context) (net.Conn, error)
	// Plain leaves out the key exchange.
	Plain bool
	// Timeout bounds the whole call; 0 is 330 s.
	Timeout time.Duration
	// Slow, when set, is called once, from another goroutine, if there is no answer after three seconds: a person may
	// want to know what it waits for.
	Slow func()
}

const slowTime = 3 * time.Second

// Call sends req and returns the answer, also one that says the request failed (Reply.Err). The caller wipes the
// secrets of both. The error is ErrNoAgent, ErrNoAnswer, ErrMalformed, ErrTooLarge, that of sock.Dial, or of the
// context.
func (c Client) Call(ctx context.Context, req Request) (Reply, error) {
	// The connection keeps the time: for a timer, Go would have a thread wait beside a process that only asks for a
	// token. A caller's limit is for connecting, too, which the usual one exceeds by far.
	timeout := defaultTimeout
	if c.Timeout > 0 {
		timeout = c.Timeout
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	deadline := time.Now().Add(timeout)
	text, err := encodeRequest(&req)
	if err != nil {
		return Reply{}, fmt.Errorf("ask agent: %w", err)
	}
	defer clear(text)
	if len(text) > MaxRequest {
		return Reply{}, fmt.Errorf("ask agent: %w", ErrTooLarge)
	}
	nc, err := c.dial(ctx)
	if err != nil {
		return Reply{}, err
	}
	defer nc.Close() //nolint:errcheck // the answer is there, or the error is
	if err := nc.SetDeadline(deadline); err != nil {
		return Reply{}, fmt.Errorf("ask agent: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.Slow != nil {
		defer time.AfterFunc(slowTime, c.Slow).Stop()
	}
	rep, err := c.exchange(nc, text)
	if err != nil {
		return Reply{}, askError(ctx, err)
	}
	return rep, nil
}

func (c Client) dial(ctx context.Context) (net.Conn, error) {
	dial := c.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) { return sock.Dial(ctx, c.Path) }
	}
	nc, err := dial(ctx)
	if errors.Is(err, sock.ErrNobody) {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to agent: %w", err)
	}
	return nc, nil
}

// askError says why there is no answer.
func askError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = cmp.Or(ctx.Err(), context.DeadlineExceeded)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), hungUp(err):
		err = ErrNoAnswer
	}
	return fmt.Errorf("ask agent: %w", err)
}

func (c Client) exchange(nc net.Conn, text []byte) (Reply, error) {
	in := &inbox{r: nc, max: maxAnswer}
	defer in.wipe()
	if c.Plain {
		return plainCall(nc, in, text)
	}
	return sealedCall(nc, in, text)
}

func plainCall(nc net.Conn, in *inbox, text []byte) (Reply, error) {
	if err := write(nc, text); err != nil {
		return Reply{}, err
	}
	return readObject(in)
}

// sealedCall exchanges keys first. An agent that cannot go on answers with an object in plain text.
func sealedCall(nc net.Conn, in *inbox, text []byte) (Reply, error) {
	own, err := newKey()
	if err != nil {
		return Reply{}, err
	}
	if err := write(nc, publicText(own)); err != nil {
		return Reply{}, err
	}
	if first, err := in.first(); err != nil || first == '{' {
		return readObject(in)
	}
	peer, err := in.peerKey()
	if err != nil {
		return Reply{}, err
	}
	s, err := newSession(own, peer)
	if err != nil {
		return Reply{}, err
	}
	defer s.wipe()
	if err := write(nc, s.seal(text)); err != nil {
		return Reply{}, err
	}
	if first, err := in.first(); err != nil || first == '{' {
		return readObject(in)
	}
	in.max = wireSize(maxAnswer)
	plain, err := in.sealed(s)
	if err != nil {
		return Reply{}, err
	}
	defer clear(plain)
	return decodeReply(plain)
}

func readObject(in *inbox) (Reply, error) {
	first, err := in.first()
	if err != nil {
		return Reply{}, err
	}
	if first != '{' {
		return Reply{}, ErrMalformed
	}
	text, err := in.object()
	if err != nil {
		return Reply{}, err
	}
	return decodeReply(text)
}

// write sends the message. An agent that refuses answers and closes without reading on: what it said is still to be
// read, so a broken pipe is no error here.
func write(nc net.Conn, b []byte) error {
	_, err := nc.Write(b)
	if hungUp(err) {
		return nil
	}
	return err
}
