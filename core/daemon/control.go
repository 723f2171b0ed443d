package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Control is the control socket of a daemon, as a command sees it.
type Control struct {
	Path string
	// Dial makes a connection; nil: sock.Dial, which trusts a daemon of the same user alone.
	Dial func(ctx context.Context, path string) (net.Conn, error)
}

func (c Control) dial(ctx context.Context) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, c.Path)
	}
	return sock.Dial(ctx, c.Path)
}

// Runs reports whether there is somebody to ask. Trouble of any other kind is for the question itself to meet.
func (c Control) Runs(ctx context.Context) bool {
	conn, err := c.dial(ctx)
	if err != nil {
		return !errors.Is(err, sock.ErrNobody)
	}
	_ = conn.Close()
	return true
}

// Talk makes one request over a connection of its own, with body as JSON (nil for none), and hands the answer to read,
// which has to bound what it takes. The error is that of dialling, of the conversation, or of read. ctx has to have a
// deadline: a daemon that hangs is waited for until then.
func (c Control) Talk(ctx context.Context, method, target string, body any, read func(*http.Response) error) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or the error is
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req, err := controlRequest(ctx, method, target, body)
	if err != nil {
		return err
	}
	err = exchange(conn, req, read)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func controlRequest(ctx context.Context, method, target string, body any) (*http.Request, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+target, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Close = true
	return req, nil
}

func exchange(conn net.Conn, req *http.Request, read func(*http.Response) error) error {
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing can be lost by it
	return read(resp)
}
