package mytoken

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	// sshTime bounds one request: servers give each 30 s.
	sshTime = time.Minute
	// maxSSHOut bounds what a server may print.
	maxSSHOut = 1 << 20
	// sshFailed is how ssh ends when the connection is what failed.
	sshFailed = 255
)

// sshClient speaks to a mytoken server with the person's ssh program: its configuration has the host, the user name that
// is the secret, and the key.
func (s *session) sshClient() *mytoken.Client {
	return mytoken.NewSSH(s.runSSH, s.cmd.SSH, mytoken.Options{Now: s.env.Now, Application: application()})
}

// runSSH runs one command at the server. Words with blanks would become several there; none has any.
func (s *session) runSSH(ctx context.Context, words ...string) (mytoken.Ran, error) {
	host := s.cmd.SSH
	if host == "" || strings.HasPrefix(host, "-") || strings.ContainsAny(host, " \t\r\n\x00") {
		return mytoken.Ran{}, cli.Failf(cli.Usage, "--ssh takes the name of a host of ~/.ssh/config")
	}
	path, err := exec.LookPath("ssh")
	if err != nil {
		return mytoken.Ran{}, cli.Fail(cli.NotFound, fmt.Errorf("find ssh: %w", err), "install OpenSSH's client")
	}
	ctx, cancel := context.WithTimeout(ctx, sshTime)
	defer cancel()
	out, errOut := &bounded{left: maxSSHOut}, &bounded{left: 16 << 10}
	cmd := exec.CommandContext(ctx, path, append([]string{"-T", "--", host}, words...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env.Stdin, out, errOut
	cmd.Env, cmd.Dir = s.env.Environ(), s.env.Dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	ran := mytoken.Ran{Out: secret.New(out.Bytes()), Err: errOut.String()}
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = cli.Fail(cli.Temporary, fmt.Errorf("ssh to %s: %w", host, ctx.Err()), "")
	case out.over:
		err = cli.Fail(cli.No, fmt.Errorf("ssh to %s: %w: it is too long", host, mytoken.ErrAnswer), "")
	case errors.As(err, &ended) && ended.ExitCode() == sshFailed:
		_, _ = io.WriteString(s.env.Stderr, cli.Printable(ran.Err))
		code, hint := cli.Temporary, "see whether this works: ssh "+host+" introspect"
		if strings.Contains(ran.Err, "Permission denied") {
			code, hint = cli.Denied, "key and user name of the host come from: mytoken settings grants ssh add KEY.pub"
		}
		err = cli.Fail(code, fmt.Errorf("ssh to %s failed", host), hint)
	case errors.As(err, &ended):
		ran.Status, err = ended.ExitCode(), nil
	}
	if err != nil {
		ran.Out.Wipe()
	}
	return ran, err
}

// bounded keeps what fits.
type bounded struct {
	bytes.Buffer
	left int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if n > b.left {
		p, b.over = p[:b.left], true
	}
	b.left -= len(p)
	b.Buffer.Write(p)
	return n, nil
}

func application() string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return "mytoken client on " + host
}

// anyClient is one of the server that the command is about.
func (s *session) anyClient(ctx context.Context) (*mytoken.Client, error) {
	if s.cmd.SSH != "" {
		return s.sshClient(), nil
	}
	return s.clientOf(ctx, s.server())
}
