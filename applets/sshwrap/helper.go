package sshwrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// askpassCmd is what ssh calls to ask something.
type askpassCmd struct {
	Prompt []string `arg:"" optional:"" passthrough:"" help:"What ssh asks."`
}

// NewAskpass returns the hidden role that answers ssh's question for the token, and hands every other one to the
// person.
func NewAskpass() cli.Command { return &askpassCmd{} }

// Rewrite keeps a question that begins with a dash from being read as an option.
func (*askpassCmd) Rewrite(args []string) []string {
	if slices.Equal(args, []string{"--help"}) {
		return args
	}
	return append([]string{"--"}, args...)
}

// Run prints the answer. That there is none is exit code 1, which ssh takes for a no.
func (c *askpassCmd) Run(ctx context.Context, env *cli.Env) error {
	words := c.Prompt
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) != 1 {
		return cli.Failf(cli.Usage, "this is called by ssh, with one question")
	}
	q := sshlogin.Question{Prompt: words[0], Kind: env.Getenv("SSH_ASKPASS_PROMPT")}
	if path := env.Getenv(envSocket); path != "" {
		r, err := sshlogin.Ask(ctx, path, sshlogin.Asked{Question: q, SSH: os.Getppid()})
		switch {
		case err != nil:
			env.Warn("%v", err) // a person may know an answer
		case !r.Secret.Empty():
			defer r.Secret.Wipe()
			return printLine(env.Stdout, r.Secret)
		case r.Quiet:
			return cli.Exit(cli.No)
		}
	}
	return askPerson(ctx, env, q)
}

func printLine(w io.Writer, t secret.Text) error {
	return t.Use(func(b []byte) error {
		line := append(append(make([]byte, 0, len(b)+1), b...), '\n')
		defer clear(line)
		_, err := w.Write(line)
		return err
	})
}

// askPerson asks at the terminal, or has the person's own program ask, which they can have put first.
func askPerson(ctx context.Context, env *cli.Env, q sshlogin.Question) error {
	own, require := env.Getenv(envAskpass), env.Getenv(envRequire)
	graphical := env.Getenv("DISPLAY") != "" || env.Getenv("WAYLAND_DISPLAY") != ""
	first := require == "force" || require == "prefer" && graphical
	if own != "" && require != "never" && (first || !term.Usable() && graphical) {
		return askOwn(ctx, env, own, require, q.Prompt)
	}
	if q.Kind == "none" {
		// It is only shown, until ssh ends this process.
		if err := term.Show(q.Prompt + "\n"); err != nil {
			return cli.Exit(cli.No)
		}
		<-ctx.Done()
		return nil
	}
	if q.Visible() {
		line, err := term.Line(ctx, q.Prompt)
		if err != nil {
			return noAnswer(env, err, q.Prompt)
		}
		if q.Kind == "confirm" && line != "" && line != "yes" && line != "y" {
			return cli.Exit(cli.No)
		}
		_, err = fmt.Fprintln(env.Stdout, line)
		return err
	}
	t, err := term.Hidden(ctx, q.Prompt)
	if err != nil {
		return noAnswer(env, err, q.Prompt)
	}
	defer t.Wipe()
	return printLine(env.Stdout, t)
}

func noAnswer(env *cli.Env, err error, prompt string) error {
	if errors.Is(err, term.ErrNoTerminal) {
		env.Warn("ssh asks something, and there is no terminal to ask at: %s", strings.Join(strings.Fields(prompt), " "))
	}
	return cli.Exit(cli.No)
}

// askOwn runs the person's SSH_ASKPASS as ssh would have.
func askOwn(ctx context.Context, env *cli.Env, path, require, prompt string) error {
	if !filepath.IsAbs(path) {
		found, err := exec.LookPath(path)
		if err != nil {
			return cli.Exit(cli.No)
		}
		path = found
	}
	cmd := exec.CommandContext(ctx, path, prompt)
	cmd.Env = append(env.ChildEnviron(envSocket), "SSH_ASKPASS="+path, "SSH_ASKPASS_REQUIRE="+require)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = env.Stdin, env.Stdout, env.Stderr, env.Dir
	err := cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return cli.PassOn(max(ended.ExitCode(), 1))
	}
	return err
}

// hostKeysCmd is what ssh calls for host keys.
type hostKeysCmd struct {
	Socket  string `arg:"" help:"Of the wrapper."`
	Purpose string `arg:"" help:"What ssh wants it for (%I)."`
	Host    string `arg:"" help:"The name that known_hosts would have (%H)."`
}

// NewHostKeys returns the hidden role that is ssh's KnownHostsCommand.
func NewHostKeys() cli.Command { return &hostKeysCmd{} }

// Run prints lines of known_hosts. ssh ends a connection when this fails, so a wrapper that does not answer means no
// keys: ssh asks the person then, as it does without.
func (c *hostKeysCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.Purpose == "ADDRESS" {
		return nil // the service vouches for the host, not for an address
	}
	r, err := sshlogin.Ask(ctx, c.Socket, sshlogin.Asked{Host: c.Host})
	if err != nil {
		env.Warn("%v", err)
		return nil
	}
	for _, key := range r.Keys {
		if _, err := fmt.Fprintf(env.Stdout, "%s %s\n", c.Host, key); err != nil {
			return err
		}
	}
	return nil
}
