// Package agentservice is the role that keeps one agent per person at a place where everybody finds it:
// oidc-agent-service.
//
// It finds, starts and ends the agent and prints lines for a shell's eval. It is not the agent (applets/agent is), and
// it runs no shell: the file of options, which the original sources, is read as assignments and nothing else.
//
// Not a public API.
package agentservice

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar.
type Cmd struct {
	Do string `arg:"" optional:"" name:"command" words:"use,start,restart,restart-s,stop,kill,start-from-x" help:"use, start, restart, restart-s, stop, kill or start-from-x."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run does the one command.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	s := &service{env: env, place: start.ServicePlace(env.Getenv)}
	switch c.Do {
	case "stop", "kill":
		return s.stop(ctx, true)
	case "use", "start", "restart", "restart-s", "start-from-x":
	default:
		return c.usage(env)
	}
	var err error
	if s.opts, err = findOptions(env); err != nil {
		return err
	}
	switch c.Do {
	case "start":
		return s.start(ctx)
	case "restart":
		return s.restart(ctx)
	case "restart-s":
		return s.restartSilently(ctx)
	case "start-from-x":
		if !s.opts.withX {
			return nil
		}
	}
	return s.use(ctx)
}

// usage is printed for a shell, because the output goes to its eval.
func (c *Cmd) usage(env *cli.Env) error {
	const text = "use | start | restart | restart-s | stop | kill"
	if !env.Upstream {
		if c.Do == "" {
			return cli.Failf(cli.Usage, "a command is missing: one of %s", text)
		}
		return cli.Failf(cli.Usage, "unknown command %q: one of %s", c.Do, text)
	}
	_, _ = fmt.Fprintf(env.Stdout, "/bin/echo \"Usage: %s %s\"\n", env.Command, text)
	return cli.Exit(cli.No)
}

type service struct {
	env   *cli.Env
	place start.Place
	opts  options
}

func (s *service) program() start.Program {
	return start.Program{Path: s.opts.agent, Options: s.opts.agentOptions}
}

// use prints the variables of the agent that runs, or of a new one.
func (s *service) use(ctx context.Context) error {
	r, _, err := s.place.Use(ctx, s.env, s.program())
	if err != nil {
		return err
	}
	s.show(r)
	return nil
}

// start refuses when an agent runs already.
func (s *service) start(ctx context.Context) error {
	if _, ok := s.place.Find(ctx); ok {
		return s.running()
	}
	r, started, err := s.place.Use(ctx, s.env, s.program())
	if err != nil {
		return err
	}
	if !started {
		return s.running()
	}
	s.show(r)
	return nil
}

// running tells the person through the shell that evaluates the output, word for word as the original.
func (s *service) running() error {
	_, _ = fmt.Fprint(s.env.Stdout, "/bin/echo 'It seems like oidc-agent-service already started an oidc-agent\n"+
		"    for you.' >&2;\n"+
		"    /bin/echo 'Run \"oidc-agent-service stop\" to stop that agent or' >&2;\n"+
		"    /bin/echo 'run \"oidc-agent-service restart\" to restart the agent.' >&2\n")
	return cli.Exit(cli.No)
}

func (s *service) restart(ctx context.Context) error {
	if _, ok := s.place.Find(ctx); ok && s.opts.sameOptions {
		args, err := s.place.Arguments(ctx)
		if err != nil {
			return fmt.Errorf("restart the agent with the options it has: %w", err)
		}
		s.opts.agentOptions = args
	}
	if err := s.stop(ctx, true); err != nil {
		return err
	}
	return s.use(ctx)
}

// restartSilently prints nothing: the variables of the shells stay right, only the pid is another.
func (s *service) restartSilently(ctx context.Context) error {
	if err := s.stop(ctx, false); err != nil {
		return err
	}
	_, _, err := s.place.Use(ctx, s.env, s.program())
	return err
}

// stop ends the agent. Where none runs there is nothing to say.
func (s *service) stop(ctx context.Context, say bool) error {
	r, ok, err := s.place.Stop(ctx)
	if err != nil || !ok || !say {
		return err
	}
	_, err = fmt.Fprintf(s.env.Stdout,
		"unset OIDC_SOCK;\nunset OIDCD_PID;\necho Agent pid %d killed;\nunset OIDCD_PID_FILE;\n", r.PID)
	return err
}

// show prints the variables; the last line makes the shell show the pid.
func (s *service) show(r start.Running) {
	lines := []string{
		"OIDC_SOCK=" + cli.ShellQuote(r.Socket) + "; export OIDC_SOCK;",
		fmt.Sprintf("OIDCD_PID=%d; export OIDCD_PID;", r.PID),
		"OIDCD_PID_FILE=" + cli.ShellQuote(s.place.PIDFile) + "; export OIDCD_PID_FILE;",
		"/bin/cat " + cli.ShellQuote(s.place.PIDFile),
	}
	for _, line := range lines {
		_, _ = fmt.Fprintln(s.env.Stdout, line)
	}
}
