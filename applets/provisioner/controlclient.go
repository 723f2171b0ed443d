package provisioner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// controlWait bounds a conversation with the server; rebuilding can take a while.
	controlWait = 2 * time.Minute
	// maxControlAnswer bounds what is read of an answer.
	maxControlAnswer = 256 << 20
)

var (
	// errServer is a failure that the server reports.
	errServer = errors.New("the server says")
	// errUnknown: the server knows no such account, request or job.
	errUnknown = errors.New("not found")
	// errRefused: what was asked for is not possible.
	errRefused = errors.New("refused")
	// errEditable: users can write the field that says whose an account is.
	errEditable = errors.New("the accounts cannot be believed")
	// errNoControl: the configuration has switched the control socket off.
	errNoControl = errors.New("the server has no control socket (control: off)")
)

// office is a running server, asked over its control socket.
type office struct{ control daemon.Control }

// openOffice finds the server of a configuration.
func (c *configFlag) openOffice(env *cli.Env) (office, error) {
	s, err := c.read(env)
	if err != nil {
		return office{}, err
	}
	if s.control == "" {
		return office{}, cli.Fail(cli.NotFound, errNoControl, "")
	}
	return office{daemon.Control{Path: s.control, Dial: dialServer}}, nil
}

// dialServer connects to a server of ours. Root takes the word of whoever owns the directory of the socket, which only root
// can have given away.
func dialServer(ctx context.Context, path string) (net.Conn, error) {
	if os.Geteuid() != 0 {
		return sock.Dial(ctx, path)
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return sock.Dial(ctx, path)
	}
	owner := ownerOf(info)
	return sock.DialServedBy(ctx, path, func(uid uint32) bool { return uid == 0 || uid == owner })
}

// ask makes one request and reads the answer into to.
func (o office) ask(ctx context.Context, method, path string, body, to any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	err := o.control.Talk(ctx, method, path, body, func(resp *http.Response) error {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK && json.Unmarshal(b, to) == nil {
			return nil
		}
		return refusal(resp.StatusCode, b)
	})
	return explain(err)
}

func refusal(status int, b []byte) error {
	var said problem
	switch {
	case json.Unmarshal(b, &said) != nil || said.Code == "":
		return fmt.Errorf("%w %d, and nothing that can be read", errServer, status)
	case said.Code == codeUnknown:
		return fmt.Errorf("%w: %s", errUnknown, said.Problem)
	case said.Code == codeRefused:
		return fmt.Errorf("%w: %s", errRefused, said.Problem)
	case said.Code == codeEditable:
		return fmt.Errorf("%w: %s", errEditable, said.Problem)
	}
	return fmt.Errorf("%w: %s", errServer, said.Problem)
}

// explain gives an error its exit code and what to do.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnknown):
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner admin list shows who is known; an identity is written as docs/formats/"+
			"account-mapping.md has it")
	case errors.Is(err, errRefused):
		return cli.Fail(cli.No, err, "")
	case errors.Is(err, errEditable):
		return cli.Fail(cli.No, err, "users must not be able to change that field (passwd: CHFN_RESTRICT in /etc/login.defs; LDAP: "+
			"an access rule, and not_editable or probe in the configuration of the worker)")
	case errors.Is(err, sock.ErrNobody):
		return cli.Fail(cli.NotFound, fmt.Errorf("ask the server: %w", err), "does it run? systemctl status oidcbox-provisioner")
	case errors.Is(err, sock.ErrForeign), errors.Is(err, os.ErrPermission):
		return cli.Fail(cli.Denied, fmt.Errorf("ask the server: %w", err), "it answers root and its own user")
	case errors.Is(err, context.DeadlineExceeded):
		return cli.Fail(cli.Temporary, fmt.Errorf("ask the server: %w", err), "it is still at work: look again later")
	}
	return cli.Fail(cli.Temporary, fmt.Errorf("ask the server: %w", err), "")
}
