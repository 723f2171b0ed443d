package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// DefaultTimeout bounds one call: shadow-utils wait up to 15 s for each of two locks.
const DefaultTimeout = 60 * time.Second

// DialOptions of Dial.
type DialOptions struct {
	// Timeout bounds one call, and for All each of its accounts; 0 is DefaultTimeout.
	Timeout time.Duration
	// Trust says which uids a worker may run as; nil: root's and our own.
	Trust func(uid uint32) bool
}

// Client asks a worker: an account system for those who may not change accounts themselves. It keeps no connection.
type Client struct {
	path    string
	timeout time.Duration
	trust   func(uid uint32) bool
}

var _ backend.System = (*Client)(nil)

// Dial returns a client for the worker that listens at path. Each call connects, and makes sure before it says anything
// that socket and process belong to somebody who is trusted.
func Dial(path string, o DialOptions) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Client{path: path, timeout: o.Timeout, trust: o.Trust}
}

// Find implements backend.System.
func (c *Client) Find(ctx context.Context, id string) (backend.Account, error) {
	r, err := c.call(ctx, request{Op: opFind, ID: id})
	if err == nil && r.Account == nil {
		err = noAnswer()
	}
	if err != nil {
		return backend.Account{}, fmt.Errorf("find account: %w", err)
	}
	return *r.Account, nil
}

// Holder implements backend.System.
func (c *Client) Holder(ctx context.Context, name string) (backend.Holder, error) {
	r, err := c.call(ctx, request{Op: opHolder, Name: name})
	if err == nil && r.Holder == nil {
		err = noAnswer()
	}
	if err != nil {
		return backend.Holder{}, fmt.Errorf("look up holder of a name: %w", err)
	}
	return *r.Holder, nil
}

// Deploy implements backend.System.
func (c *Client) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	r, err := c.call(ctx, request{Op: opDeploy, Wanted: &w})
	if err == nil && r.Done == nil {
		err = noAnswer()
	}
	if err != nil {
		return backend.Done{}, fmt.Errorf("deploy account: %w", err)
	}
	return *r.Done, nil
}

// SetTier implements backend.System.
func (c *Client) SetTier(ctx context.Context, ref backend.Ref, t backend.Tier) error {
	return c.change(ctx, "set tier of account", request{Op: opTier, Ref: &ref, Tier: t})
}

// Suspend implements backend.System.
func (c *Client) Suspend(ctx context.Context, ref backend.Ref, kill bool) error {
	return c.change(ctx, "suspend account", request{Op: opSuspend, Ref: &ref, Kill: kill})
}

// Resume implements backend.System.
func (c *Client) Resume(ctx context.Context, ref backend.Ref) error {
	return c.change(ctx, "resume account", request{Op: opResume, Ref: &ref})
}

// Undeploy implements backend.System.
func (c *Client) Undeploy(ctx context.Context, ref backend.Ref) error {
	return c.change(ctx, "undeploy account", request{Op: opUndeploy, Ref: &ref})
}

// Trust implements backend.System.
func (c *Client) Trust(ctx context.Context) error {
	return c.change(ctx, "trust in accounts", request{Op: opTrust})
}

// All implements backend.System.
func (c *Client) All(ctx context.Context, each func(backend.Account) error) error {
	conn, err := c.ask(ctx, request{Op: opAll})
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		if err := conn.SetDeadline(c.deadline(ctx)); err != nil {
			return fmt.Errorf("list accounts: %w: %w", backend.ErrUnavailable, err)
		}
		a, err := readReply(ctx, r)
		switch {
		case err != nil:
			return fmt.Errorf("list accounts: %w", err)
		case !a.More:
			return nil
		case a.Account == nil:
			return fmt.Errorf("list accounts: %w", noAnswer())
		}
		if err := each(*a.Account); err != nil {
			return err
		}
	}
}

func noAnswer() error { return fmt.Errorf("%w: answer lacks something", ErrProtocol) }

func (c *Client) change(ctx context.Context, what string, q request) error {
	if _, err := c.call(ctx, q); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, q request) (reply, error) {
	conn, err := c.ask(ctx, q)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	return readReply(ctx, bufio.NewReader(conn))
}

// ask sends a request and returns the connection with a deadline. The caller closes it.
func (c *Client) ask(ctx context.Context, q request) (net.Conn, error) {
	q.Version = version
	line, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if len(line) >= maxLine {
		return nil, fmt.Errorf("%w: request is too long", backend.ErrRefused)
	}
	raw, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	conn := &bound{Conn: raw, stop: context.AfterFunc(ctx, func() { _ = raw.Close() })}
	err = conn.SetDeadline(c.deadline(ctx))
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, because(ctx, err))
	}
	return conn, nil
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if c.trust == nil {
		return sock.Dial(ctx, c.path)
	}
	return sock.DialServedBy(ctx, c.path, c.trust)
}

func (c *Client) deadline(ctx context.Context) time.Time {
	t := time.Now().Add(c.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(t) {
		return d
	}
	return t
}

// bound is a connection that ends with a context.
type bound struct {
	net.Conn
	stop func() bool
}

func (b *bound) Close() error {
	b.stop()
	return b.Conn.Close()
}

// because prefers what the caller did over what came of it.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func readReply(ctx context.Context, r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, because(ctx, err))
	}
	var a reply
	if err := decode(line, &a); err != nil {
		return reply{}, err
	}
	if a.Error != nil {
		return reply{}, a.Error.err()
	}
	return a, nil
}
