package start

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// Timeout is for everything: waiting for others who start an agent as well, and for the agent. A program that gives
	// the passphrase may ask a person.
	Timeout = 60 * time.Second
	// lockFile is held while an agent is started or stopped.
	lockFile = "start.lock"
	// grace is for what the agent has left open when it was killed.
	grace = 2 * time.Second
	// maxSaid bounds what is kept of what a failing agent says.
	maxSaid = 4 << 10
)

// Instead starts an agent where err says that nobody answered and one is wanted. It reports whether there is one now,
// so that the request can be made again. It says on standard error what it did.
func Instead(ctx context.Context, env *cli.Env, err error) bool {
	if !errors.Is(err, proto.ErrNoAgent) {
		return false
	}
	if ok, _ := Wanted(env); !ok {
		return false
	}
	if err := Start(ctx, env); err != nil {
		env.Warn("%v", err)
		return false
	}
	return true
}

// Start starts an agent in the background, with the well-known socket, and returns when it listens. Where one listens
// already, as when somebody else has just started it, there is nothing to do.
func Start(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	dir, err := sock.RuntimeDir(env.Getenv)
	if err != nil {
		return fmt.Errorf("start an agent: %w", err)
	}
	path := filepath.Join(dir, proto.SockName)
	unlock, err := lock(ctx, filepath.Join(dir, lockFile))
	if err != nil {
		return fmt.Errorf("start an agent: wait for others who do: %w", err)
	}
	defer unlock()
	if listens(ctx, path) {
		return nil
	}
	return run(ctx, env, path)
}

// listens reports whether somebody trusted is at the socket.
func listens(ctx context.Context, path string) bool {
	c, err := sock.Dial(ctx, path)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// run starts this program as the agent role, which returns once the agent answers.
func run(ctx context.Context, env *cli.Env, path string) error {
	self, err := cli.OwnProgram()
	if err != nil {
		return fmt.Errorf("start an agent: find this program: %w", err)
	}
	said := &head{}
	cmd := exec.CommandContext(ctx, self, "agent", "--quiet", "--socket-path="+path)
	cmd.Args[0] = "oidcbox"
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.WaitDelay = env.Dir, env.ChildEnviron(), said, grace
	err = cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("start an agent: %w%s", err, said)
	}
	// What it warns of concerns the person, too.
	_, _ = env.Stderr.Write([]byte(cli.Printable(said.b.String())))
	return nil
}

// head keeps the first of what is written.
type head struct{ b bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.b.Write(p[:min(len(p), maxSaid-h.b.Len())])
	return len(p), nil
}

func (h *head) String() string {
	s := strings.TrimSpace(h.b.String())
	if s == "" {
		return ""
	}
	return "\n" + s
}
