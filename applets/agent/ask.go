package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

const askTime = 10 * time.Second

const (
	// leaveTime is how long an agent of ours may take to remove its socket.
	leaveTime = 1500 * time.Millisecond
	// endTime is how long it may take to write down what it has not written yet.
	endTime = stopTime + 3*time.Second
)

// kill ends the agent that OIDCD_PID names. Without the variable, under our own name, the one at the control socket.
func (c *Cmd) kill(ctx context.Context, env *cli.Env) error {
	pid, err := strconv.Atoi(env.Getenv("OIDCD_PID"))
	if err != nil || pid <= 1 {
		if env.Upstream {
			return noPID(env)
		}
		return killByControl(ctx, env)
	}
	if err := terminate(pid); err != nil {
		if env.Upstream {
			// Here the original says it in these words, and without "Error: ".
			env.Note("kill: %s", upperFirst(err.Error()))
			return cli.Exit(cli.NotFound)
		}
		return cli.Failf(cli.NotFound, "end process %d: %w", pid, err)
	}
	if path := env.Getenv("OIDC_SOCK"); path != "" {
		removeSocket(ctx, path)
	}
	awaitEnd(ctx, pid)
	fmt.Fprintf(env.Stdout, "unset OIDC_SOCK;\nunset OIDCD_PID;\necho Agent pid %d killed;\n", pid)
	return nil
}

// noPID is the original's complaint, word for word.
func noPID(env *cli.Env) error {
	if value := env.Getenv("OIDCD_PID"); value != "" {
		env.Note("OIDCD_PID not set to a valid pid: %s", value)
	} else {
		env.Note("OIDCD_PID not set, cannot kill Agent")
	}
	return cli.Exit(cli.NotFound)
}

// upperFirst spells an error of the system as its C library does.
func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func killByControl(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	ctl := control.Client{Path: control.Place(env.Getenv)}
	st, err := ctl.Status(ctx)
	if err == nil {
		err = ctl.Shutdown(ctx)
	}
	if errors.Is(err, control.ErrNoAgent) {
		return cli.Fail(cli.NotFound, err, "")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "unset OIDC_SOCK;\nunset OIDCD_PID;\necho Agent pid %d killed;\n", st.PID)
	return nil
}

// removeSocket takes away what an agent of the original leaves behind; ours has done so itself. Only a socket is
// removed, and only its own directory when that is empty.
func removeSocket(ctx context.Context, path string) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	for ctx.Err() == nil {
		fi, err := os.Lstat(path)
		if err != nil {
			break // the agent has done it
		}
		if fi.Mode()&os.ModeSocket == 0 {
			return
		}
		select {
		case <-ctx.Done():
			_ = os.Remove(path)
		case <-time.After(10 * time.Millisecond):
		}
	}
	_ = os.Remove(filepath.Dir(path)) // fails unless it is empty
}

// awaitEnd waits until the agent has ended: the next one may read the account files that this one is still writing.
func awaitEnd(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	for running(pid) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// status asks the agent that clients would find.
func (c *Cmd) status(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req := proto.Request{Type: proto.TypeStatus}
	if c.JSON {
		req.Type = proto.TypeStatusJSON
	}
	rep, err := proto.FindFor(env).Call(ctx, req)
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		return proto.Explain(err, env.Upstream)
	}
	return c.printStatus(env, rep)
}

func (c *Cmd) printStatus(env *cli.Env, rep proto.Reply) error {
	if c.JSON {
		_, err := fmt.Fprintln(env.Stdout, cli.Printable(string(rep.Info)))
		return err
	}
	_, err := fmt.Fprint(env.Stdout, cli.Printable(rep.Info.Text()))
	return err
}
