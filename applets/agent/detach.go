package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

const (
	startTime = 60 * time.Second // a passphrase command may ask a person
	maxNotice = 64 << 10
)

// detach starts the process that stays and returns when that answers: who reads the printed lines finds an agent. With
// a command, this process becomes the command.
func (c *Cmd) detach(ctx context.Context, env *cli.Env) error {
	argv := c.argv()
	if len(argv) > 0 {
		if _, err := exec.LookPath(argv[0]); err != nil {
			return cli.Fail(cli.NotFound, err, "")
		}
	}
	n, err := c.spawn(ctx, env)
	if err != nil {
		return err
	}
	if n.Error != "" {
		// Without its warnings: they say how it goes on, and it does not.
		return cli.Fail(n.Code, errors.New(n.Error), n.Hint)
	}
	if len(argv) == 0 {
		c.show(env, n)
		return nil
	}
	for _, w := range n.Warnings {
		env.Warn("%s", w)
	}
	return become(ctx, env, argv, []string{"OIDC_SOCK=" + n.Socket, "OIDCD_PID=" + strconv.Itoa(n.PID)})
}

// spawn runs this program again in the background and reads its notice.
func (c *Cmd) spawn(ctx context.Context, env *cli.Env) (notice, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	self, err := cli.OwnProgram()
	if err != nil {
		return notice{}, fmt.Errorf("find this program: %w", err)
	}
	said := &tail{}
	cmd := exec.Command(self, c.childArgs(env)...)
	cmd.Args[0] = env.Command
	cmd.Dir, cmd.Env, cmd.SysProcAttr = env.Dir, env.ChildEnviron(), detached()
	cmd.Stderr = said
	if f, ok := env.Stderr.(*os.File); ok && c.LogStderr {
		cmd.Stderr = f
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return notice{}, fmt.Errorf("start the agent: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return notice{}, fmt.Errorf("start the agent: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	var n notice
	if err := json.NewDecoder(io.LimitReader(pipe, maxNotice)).Decode(&n); err != nil {
		waitErr := cmd.Wait()
		if ctx.Err() != nil {
			return notice{}, fmt.Errorf("start the agent: %w", ctx.Err())
		}
		return notice{}, fmt.Errorf("the agent ended before it was ready: %w%s", errors.Join(waitErr), said)
	}
	// The pipe ends when the child has let go of it, or has ended.
	_, _ = io.Copy(io.Discard, pipe)
	if n.Error != "" {
		_ = cmd.Wait()
	}
	return n, nil
}

// childArgs are those of this process, what it looked up for the child, and the mark that it is the child.
func (c *Cmd) childArgs(env *cli.Env) []string {
	args := []string{"--background", "--for-shell=" + strconv.Itoa(os.Getppid())}
	if len(c.argv()) > 0 {
		args = append(args, "--until="+strconv.Itoa(os.Getpid()))
	}
	return append(args, env.Args[:len(env.Args)-len(c.Command)]...)
}

// argv is the command to run; the grammar hands over everything from "--" on.
func (c *Cmd) argv() []string {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		return c.Command[1:]
	}
	return c.Command
}

// withoutInternal leaves out the options that only the detaching process uses.
func withoutInternal(args []string) []string {
	out := []string{}
	for _, a := range args {
		if a == "--background" || strings.HasPrefix(a, "--for-shell=") || strings.HasPrefix(a, "--until=") ||
			strings.HasPrefix(a, "--handover=") {
			continue
		}
		out = append(out, a)
	}
	return out
}

// tail keeps the last of what a process that failed said.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const keep = 2 << 10
	t.b = append(t.b, p...)
	if len(t.b) > keep {
		t.b = bytes.Clone(t.b[len(t.b)-keep:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	s := strings.TrimSpace(string(t.b))
	if s == "" {
		return ""
	}
	return "\n" + s
}
