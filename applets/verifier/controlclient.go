package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/daemon"
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

// runs reports whether there is somebody to ask.
func (d daemonKeys) runs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	return daemon.Control{Path: d.path}.Runs(ctx)
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

// ask makes one request and reads the answer into to. The error is that of sock.Dial, a *daemonError, or that of the
// conversation.
func (d daemonKeys) ask(ctx context.Context, method, path string, body, to any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	err := daemon.Control{Path: d.path}.Talk(ctx, method, path, body, func(resp *http.Response) error {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK && json.Unmarshal(b, to) == nil {
			return nil
		}
		var said orderAnswer
		if json.Unmarshal(b, &said) != nil || said.Code == "" {
			return fmt.Errorf("status %d without a readable answer", resp.StatusCode)
		}
		return &daemonError{code: said.Code, problem: said.Problem}
	})
	var said *daemonError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return fmt.Errorf("ask the daemon: %w", err)
}
