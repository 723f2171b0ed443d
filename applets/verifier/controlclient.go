package verifier

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// controlWait bounds a conversation with the daemon: a fetch of keys is part of it.
const controlWait = 30 * time.Second

// maxControlAnswer bounds what is read of the daemon's answer.
const maxControlAnswer = 8 << 20

// errDaemon is a failure that the daemon reports.
var errDaemon = errors.New("the daemon says")

// daemonError is an errDaemon with its code.
type daemonError struct{ code, problem string }

func (e *daemonError) Error() string { return e.problem }
func (e *daemonError) Unwrap() error { return errDaemon }

// daemonKeys are the keys of a running daemon.
type daemonKeys struct{ path string }

// runs reports whether there is somebody to ask. Trouble of any other kind is for the question itself to meet.
func (d daemonKeys) runs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	conn, err := sock.Dial(ctx, d.path)
	if err != nil {
		return !errors.Is(err, sock.ErrNobody)
	}
	_ = conn.Close()
	return true
}

func (d daemonKeys) Status(ctx context.Context) ([]issuerView, error) {
	var a issuersAnswer
	err := d.ask(ctx, http.MethodGet, issuersPath, nil, &a)
	return a.Issuers, err
}

func (d daemonKeys) Refresh(ctx context.Context, issuer string) error {
	return d.ask(ctx, http.MethodPost, refreshPath, order{issuer}, &orderAnswer{})
}

func (d daemonKeys) Drop(ctx context.Context, issuer string) error {
	return d.ask(ctx, http.MethodPost, dropPath, order{issuer}, &orderAnswer{})
}

// ask makes one request over a connection of its own and reads the answer into to. The error is that of sock.Dial, a
// *daemonError, or that of the conversation.
func (d daemonKeys) ask(ctx context.Context, method, path string, body, to any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	conn, err := sock.Dial(ctx, d.path)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or the error is
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req, err := newRequest(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	status, b, err := exchange(conn, req)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	if status == http.StatusOK && json.Unmarshal(b, to) == nil {
		return nil
	}
	var said orderAnswer
	if json.Unmarshal(b, &said) != nil || said.Code == "" {
		return fmt.Errorf("ask the daemon: status %d without a readable answer", status)
	}
	return &daemonError{code: said.Code, problem: said.Problem}
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://verifier"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Close = true
	return req, nil
}

func exchange(conn net.Conn, req *http.Request) (status int, body []byte, err error) {
	if err := req.Write(conn); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing can be lost by it
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
	return resp.StatusCode, body, err
}
