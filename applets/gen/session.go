package gen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// session is one run against one agent.
type session struct {
	cmd       *Cmd
	env       *cli.Env
	agent     proto.Client
	admin     control.Client
	set       login.GenSettings
	asks      asker // texts and yes-no questions; nil: nobody may be asked
	asksPw    asker // passwords
	catalogue func() login.Catalogue
}

func newSession(c *Cmd, env *cli.Env) *session {
	s := &session{
		cmd: c, env: env, agent: proto.FindFor(env), admin: control.Client{Path: control.Place(env.Getenv)},
	}
	all, err := login.FindSettings(env.Getenv)
	if err != nil {
		env.Warn("%v", err)
	}
	s.settle(all.Gen)
	s.catalogue = sync.OnceValue(func() login.Catalogue {
		c, err := login.LoadCatalogue(login.CatalogueDirs(env.Getenv)...)
		if err != nil {
			env.Warn("%v", err)
		}
		return c
	})
	return s
}

// settle fills in what the person's settings say and the options do not.
func (s *session) settle(set login.GenSettings) {
	c := s.cmd
	s.set = set
	c.CNID = cmp.Or(c.CNID, set.CNID)
	c.Prompt = cmp.Or(c.Prompt, set.Prompt, promptCLI)
	c.PwPrompt = cmp.Or(c.PwPrompt, set.PwPrompt, promptCLI)
	c.NoURLCall = c.NoURLCall || !set.OpenURL
	if c.PwFile == "" && c.PwEnv == "" && c.PwCmd == "" {
		c.PwGPG = cmp.Or(c.PwGPG, set.GPGKey)
	}
	if !c.ConfirmDefault && !c.ConfirmYes && !c.ConfirmNo {
		c.ConfirmDefault, c.ConfirmYes, c.ConfirmNo = set.Confirm == "default", set.Confirm == "yes", set.Confirm == "no"
	}
	s.asks, s.asksPw = s.askers()
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

// say prints one of the lines that scripts look for.
func (s *session) say(line string) { _, _ = fmt.Fprintln(s.env.Stdout, line) }

// detail prints a line for somebody who wants to know what happens.
func (s *session) detail(format string, args ...any) {
	if s.cmd.Verbose || s.cmd.Debug {
		s.env.Note(format, args...)
	}
}

// need is the error for a value that is missing and cannot be asked for.
func (s *session) need(what, option string) error {
	if s.env.Upstream && strings.HasPrefix(option, "--") {
		return s.refuse(cli.No, fmt.Sprintf(
			"Required argument %s not given. Please enable a prompt mode or pass %s to the '%s' option.", what, what, option))
	}
	return cli.Fail(cli.Usage, fmt.Errorf("%s is missing", what), "give it with "+option)
}

// refuse ends with a line as the original prints it: some of its refusals have no "Error:" in front.
func (s *session) refuse(code int, line string) error {
	s.env.Note("%s", line)
	return cli.Exit(code)
}
