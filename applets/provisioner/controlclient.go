package provisioner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// controlWait bounds a conversation with the server; rebuilding can take a while.
	controlWait = 2 * time.Minute
	// slowAnswer is how long nothing is said.
	slowAnswer = 2 * time.Second
	// maxControlAnswer bounds what is read of an answer.
	maxControlAnswer = 256 << 20
)

var (
	// errServer is a failure that the server reports.
	errServer = errors.New("the server says")
	// errUnknown: the server knows no such account.
	errUnknown = errors.New("not found")
	// errNoJob: the server knows no such job.
	errNoJob = errors.New("not found")
	// errSettled: nothing of that account waits for a decision.
	errSettled = errors.New("not found")
	// errAccounts: the server works, and whoever makes the accounts does not answer it.
	errAccounts = errors.New("not all of it is done")
	// errNoAdmins: there is no administrator to write to.
	errNoAdmins = errors.New("refused")
	// errRefused: what was asked for is not possible.
	errRefused = errors.New("refused")
	// errEditable: users can write the field that says whose an account is.
	errEditable = errors.New("the accounts cannot be believed")
	// errNoControl: the configuration has switched the control socket off.
	errNoControl = errors.New("the server has no control socket (control: off)")
)

// office is a running server, asked over its control socket.
type office struct {
	control daemon.Control
	note    func(format string, args ...any) // tells the person who waits
}

// openOffice finds the server of a configuration. Nothing but the place of its socket is read: a fault that stands there for
// the next start must not keep an officer from stopping somebody now, and neither must secrets that only the server may read.
func (c *configFlag) openOffice(env *cli.Env) (office, error) {
	path, err := controlOf(within(env, c.Config))
	if err != nil {
		return office{}, cli.Fail(cli.NotFound, err, "")
	}
	return office{daemon.Control{Path: path, Dial: dialServer}, env.Note}, nil
}

// controlOf is where the control socket of a configuration is: the usual place where it does not say, or is not there.
func controlOf(file string) (string, error) {
	b, err := config.ReadFile(file, config.MaxSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	r := config.NewReader(file)
	for _, p := range r.Pairs(r.Document(b)) {
		if p.Name != "control" {
			continue
		}
		if p.At.Raw() == word {
			return "", errNoControl
		}
		if path, ok := r.Path(p.At); ok {
			return path, nil
		}
	}
	return defaultControl, nil
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
	defer o.patience()()
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

// patience tells the person that an answer takes long, unless the returned function was called before.
func (o office) patience() (stop func()) {
	told := make(chan struct{})
	t := time.AfterFunc(slowAnswer, func() {
		defer close(told)
		o.note("the server is at work: waiting for its answer, up to %s", controlWait)
	})
	return func() {
		if !t.Stop() {
			<-told
		}
	}
}

func refusal(status int, b []byte) error {
	var said problem
	switch {
	case json.Unmarshal(b, &said) != nil || said.Code == "":
		return fmt.Errorf("%w %d, and nothing that can be read", errServer, status)
	}
	kind := map[string]error{
		codeUnknown: errUnknown, codeNoJob: errNoJob, codeSettled: errSettled, codeRefused: errRefused, codeEditable: errEditable,
		codeAccounts: errAccounts, codeNobody: errNoAdmins,
	}[said.Code]
	if kind == nil {
		kind = errServer
	}
	return fmt.Errorf("%w: %s", kind, said.Problem)
}

// explain gives an error its exit code and what to do.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnknown):
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner admin list shows who is known; an identity is written as docs/formats/"+
			"account-mapping.md has it")
	case errors.Is(err, errNoJob):
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner admin jobs lists them")
	case errors.Is(err, errSettled):
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner admin pending shows what waits; undeploy forgets a rejection, so that the "+
			"person can ask again")
	case errors.Is(err, errRefused):
		return cli.Fail(cli.No, err, "")
	case errors.Is(err, errNoAdmins):
		return cli.Fail(cli.No, err, "approval: {admins: [...]} and mail: of the configuration say who")
	case errors.Is(err, errAccounts):
		return cli.Fail(cli.Temporary, err, "does the worker run, and what does it say? systemctl status oidcbox-provisioner-worker")
	case errors.Is(err, errEditable):
		return cli.Fail(cli.No, err, "users must not be able to change that field (passwd: CHFN_RESTRICT in /etc/login.defs; LDAP: "+
			"an access rule, and not_editable or probe in the configuration of the worker)")
	case errors.Is(err, sock.ErrNobody):
		return cli.Fail(cli.NotFound, fmt.Errorf("ask the server: %w", err), "does it run? systemctl status oidcbox-provisioner; "+
			"while it is down nobody gets in by token or one-time password")
	case errors.Is(err, sock.ErrForeign), errors.Is(err, os.ErrPermission):
		return cli.Fail(cli.Denied, fmt.Errorf("ask the server: %w", err), "it answers root and its own user")
	case errors.Is(err, context.DeadlineExceeded):
		return cli.Fail(cli.Temporary, fmt.Errorf("ask the server: %w", err), "it is still at work: look again later")
	}
	if errors.Is(err, errServer) {
		return cli.Fail(cli.Temporary, err, "its log has more: journalctl -u oidcbox-provisioner")
	}
	return cli.Fail(cli.Temporary, fmt.Errorf("ask the server: %w", err), "")
}
