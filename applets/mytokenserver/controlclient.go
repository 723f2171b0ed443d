package mytokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
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

// runs reports whether there is somebody to ask.
func (o remoteOffice) runs(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	return daemon.Control{Path: o.path}.Runs(ctx)
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

// talk makes one request. The error is that of sock.Dial, or that of the conversation.
func (o remoteOffice) talk(ctx context.Context, method, path string, body any, read func(*http.Response) error) error {
	if err := (daemon.Control{Path: o.path}).Talk(ctx, method, path, body, read); err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	return nil
}
