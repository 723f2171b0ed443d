package gen

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// session is one run against one agent.
type session struct {
	cmd   *Cmd
	env   *cli.Env
	agent proto.Client
	admin control.Client
}

func newSession(c *Cmd, env *cli.Env) *session {
	return &session{
		cmd: c, env: env, agent: proto.FindFor(env), admin: control.Client{Path: control.Place(env.Getenv)},
	}
}

// ensure starts an agent where none answers and one is wanted. What is wrong otherwise shows when it is asked.
func (s *session) ensure(ctx context.Context) {
	rep, err := s.agent.Call(ctx, proto.Request{Type: proto.TypeCheck})
	rep.Wipe()
	start.Instead(ctx, s.env, err)
}

// call asks the agent. A refusal comes back as an error with exit code and hint; the reply is there all the same.
func (s *session) call(ctx context.Context, r proto.Request) (proto.Reply, error) {
	rep, err := s.agent.Call(ctx, r)
	if err == nil {
		err = rep.Err()
	}
	return rep, proto.Explain(err, s.env.Upstream)
}

// isText reports whether the agent refused with exactly this text.
func isText(err error, text string) bool {
	var ae *proto.AgentError
	return errors.As(err, &ae) && ae.Text == text
}

// interactive reports whether the person may be asked.
func (s *session) interactive() bool { return s.cmd.Prompt != "none" && cli.IsTerminal(s.env.Stdin) }

// say prints one of the lines that scripts look for.
func (s *session) say(line string) { _, _ = fmt.Fprintln(s.env.Stdout, line) }

// need is the error for a value that is missing and cannot be asked for.
func need(what, option string) error {
	return cli.Fail(cli.Usage, fmt.Errorf("%s is missing", what), "give it with "+option)
}
