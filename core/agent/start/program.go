package start

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Program is the agent to start.
type Program struct {
	Path    string // of another agent than ours, such as the original's; "" for ours
	Options []string
}

// errNoAnswer says that a program was started that does not do what an agent does.
var errNoAnswer = errors.New("it did not print where it listens")

// Start runs the program, which goes to the background, and returns when it answers.
func (p Program) Start(ctx context.Context, env *cli.Env) (Running, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := p.start(ctx, env)
	if err != nil {
		return Running{}, fmt.Errorf("start an agent: %w", err)
	}
	// The original prints its lines before it listens.
	for !listens(ctx, r.Socket) {
		select {
		case <-ctx.Done():
			return Running{}, fmt.Errorf("start an agent: nobody answers at %s: %w", r.Socket, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return r, nil
}

func (p Program) start(ctx context.Context, env *cli.Env) (Running, error) {
	path := p.Path
	if path == "" {
		var err error
		if path, err = cli.OwnProgram(); err != nil {
			return Running{}, fmt.Errorf("find this program: %w", err)
		}
	} else if !filepath.IsAbs(path) {
		return Running{}, fmt.Errorf("%s is no absolute path", path)
	}
	out, said := &head{}, &head{}
	cmd := exec.CommandContext(ctx, path, append(append([]string{}, p.Options...), "--json")...)
	cmd.Args[0] = "oidc-agent"
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env.Dir, env.ChildEnviron(), out, said, grace
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay): // it left its output open, and said what it had to say
		err = nil
	}
	if err != nil {
		return Running{}, fmt.Errorf("%w%s", err, said)
	}
	var v struct{ Socket, DPID string }
	if err := json.NewDecoder(bytes.NewReader(out.b.Bytes())).Decode(&v); err != nil || v.Socket == "" {
		return Running{}, fmt.Errorf("%w%s", errNoAnswer, said)
	}
	pid, err := strconv.Atoi(v.DPID)
	if err != nil || pid <= 1 {
		return Running{}, fmt.Errorf("%w%s", errNoAnswer, said)
	}
	_, _ = env.Stderr.Write([]byte(cli.Printable(said.b.String()))) // warnings
	return Running{Socket: v.Socket, PID: pid}, nil
}
