package mytokenserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// controlWait bounds a conversation with the server; erasing what one person has can take a while.
	controlWait = 2 * time.Minute
	// backupWait bounds a copy.
	backupWait = 2 * time.Hour
	// maxControlAnswer bounds what is read of an answer.
	maxControlAnswer = 256 << 20
)

var (
	// errServer is a failure that the server reports.
	errServer = errors.New("the server says")
	// errCut is told of a copy that did not arrive whole.
	errCut = errors.New("the copy was cut short")
)

// remoteOffice works on the state of a running server.
type remoteOffice struct{ path string }

// runs reports whether there is somebody to ask. Trouble of any other kind is for the question itself to meet.
func (o remoteOffice) runs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	conn, err := sock.Dial(ctx, o.path)
	if err != nil {
		return !errors.Is(err, sock.ErrNobody)
	}
	_ = conn.Close()
	return true
}

// Users is part of office.
func (o remoteOffice) Users(ctx context.Context) (list []userView, err error) {
	return list, o.ask(ctx, http.MethodGet, usersPath, nil, &list)
}

// Tokens is part of office.
func (o remoteOffice) Tokens(ctx context.Context, user string) (list []tokenView, err error) {
	return list, o.ask(ctx, http.MethodGet, tokensPath+"?user="+url.QueryEscape(user), nil, &list)
}

// Revoke is part of office.
func (o remoteOffice) Revoke(ctx context.Context, order revokeOrder) (v revokedView, err error) {
	return v, o.ask(ctx, http.MethodPost, revokePath, order, &v)
}

// Erase is part of office.
func (o remoteOffice) Erase(ctx context.Context, user string) error {
	return o.ask(ctx, http.MethodPost, erasePath, eraseOrder{user}, &struct{}{})
}

// Deposits is part of office.
func (o remoteOffice) Deposits(ctx context.Context, all bool) (list []depositView, err error) {
	path := escrowPath
	if all {
		path += "?all=1"
	}
	return list, o.ask(ctx, http.MethodGet, path, nil, &list)
}

// RevokedThere is part of office.
func (o remoteOffice) RevokedThere(ctx context.Context, login string) error {
	return o.ask(ctx, http.MethodPost, escrowPath, loginOrder{login}, &struct{}{})
}

// Backup is part of office.
func (o remoteOffice) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, backupWait)
	defer cancel()
	return o.talk(ctx, http.MethodGet, backupPath, nil, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%w %d", errServer, resp.StatusCode)
		}
		if _, err := io.Copy(w, resp.Body); err != nil {
			return err
		}
		if said := resp.Trailer.Get(backupTrailer); said != backupWhole {
			return fmt.Errorf("%w: %s", errCut, said)
		}
		return nil
	})
}

// ask makes one request and reads the answer into to. An unknown mytoken or person is ledger.ErrUnknown.
func (o remoteOffice) ask(ctx context.Context, method, path string, body, to any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	return o.talk(ctx, method, path, body, func(resp *http.Response) error {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK && json.Unmarshal(b, to) == nil {
			return nil
		}
		var said problem
		switch {
		case json.Unmarshal(b, &said) != nil || said.Code == "":
			return fmt.Errorf("%w %d, and nothing that can be read", errServer, resp.StatusCode)
		case said.Code == codeUnknown:
			return ledger.ErrUnknown
		}
		return fmt.Errorf("%w: %s", errServer, said.Problem)
	})
}

// talk makes one request over a connection of its own. The error is that of sock.Dial, or that of the conversation.
func (o remoteOffice) talk(ctx context.Context, method, path string, body any, read func(*http.Response) error) error {
	conn, err := sock.Dial(ctx, o.path)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or the error is
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return fmt.Errorf("ask the server: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://mytoken-server"+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	req.Close = true
	if err = req.Write(conn); err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReader(conn), req); err == nil {
			defer resp.Body.Close() //nolint:errcheck // nothing can be lost by it
			err = read(resp)
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	return nil
}
