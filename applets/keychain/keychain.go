// Package keychain is the role that gives every shell the same agent and loads logins into it: oidc-keychain.
//
// It finds an agent or starts one, prints lines for a shell's eval, and runs oidc-add of this program for logins that
// are not loaded. It is not the agent, and it keeps no passwords.
//
// Not a public API.
package keychain

import (
	"context"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar. Options of the agent come in by Rewrite.
type Cmd struct {
	Kill     bool     `short:"k" help:"End the agent."`
	Accounts []string `sep:"none" placeholder:"LOGIN" help:"Load these logins if they are not loaded; all words behind it are logins."`

	AgentOption []string `sep:"none" hidden:""`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Rewrite puts every option that is not ours into --agent-option, with the word behind it when that is no option, and
// every word behind --accounts into one of its own.
func (c *Cmd) Rewrite(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--accounts":
			for _, name := range args[i+1:] {
				out = append(out, "--accounts="+name)
			}
			return out
		case ours(arg) || !strings.HasPrefix(arg, "-"):
			out = append(out, arg)
			continue
		}
		out = append(out, "--agent-option="+arg)
		if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			out = append(out, "--agent-option="+args[i])
		}
	}
	return out
}

func ours(arg string) bool {
	switch arg {
	case "-k", "--kill", "-?", "-h", "--help", "--usage", "-V", "--version":
		return true
	}
	return strings.HasPrefix(arg, "--accounts=")
}

// me is in front of what a person reads, whatever the command was called.
const me = "oidc-keychain"

// failed makes the shell's eval fail, too.
const failed = "false;"

// Run finds or starts the agent, or ends it.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	k := &keychain{env: env, place: start.ServicePlace(env.Getenv)}
	if c.Kill {
		return k.kill(ctx)
	}
	r, started, err := k.find(ctx, c.AgentOption)
	if err != nil {
		_, _ = fmt.Fprintln(env.Stdout, failed)
		return err
	}
	k.show(r, started)
	if err := k.remember(r); err != nil {
		env.Warn("other shells will have to look for the agent: %v", err)
	}
	return k.load(ctx, r, c.Accounts)
}

type keychain struct {
	env   *cli.Env
	place start.Place
}

// find returns the agent of the variables, of the script of this host, or at the usual places; else it starts one.
func (k *keychain) find(ctx context.Context, options []string) (r start.Running, started bool, err error) {
	if r, ok := k.known(ctx); ok {
		return r, false, nil
	}
	return k.place.Use(ctx, k.env, start.Program{Options: options})
}

// known is an agent that does not listen at the usual places.
func (k *keychain) known(ctx context.Context) (start.Running, bool) {
	for _, path := range []string{k.env.Getenv("OIDC_SOCK"), k.recall()} {
		if path == "" || path == k.place.Socket {
			continue
		}
		if r, ok := start.At(ctx, path); ok && r.PID > 1 {
			return r, true
		}
	}
	return start.Running{}, false
}

// show prints the variables, and makes the shell say which agent it is.
func (k *keychain) show(r start.Running, started bool) {
	what := "Reusing agent pid"
	if started {
		what = "Agent pid"
	}
	_, _ = fmt.Fprintf(k.env.Stdout, "echo %s: %s %d;\n%s", me, what, r.PID, variables(r))
}

// variables are the lines of the script.
func variables(r start.Running) string {
	return fmt.Sprintf("OIDC_SOCK=%s; export OIDC_SOCK;\nOIDCD_PID=%d; export OIDCD_PID;\n",
		cli.ShellQuote(r.Socket), r.PID)
}

// kill ends the agent that find would have found.
func (k *keychain) kill(ctx context.Context) error {
	r, ok := k.known(ctx)
	var err error
	if ok {
		err = r.End(ctx)
	} else {
		r, ok, err = k.place.Stop(ctx)
	}
	if err != nil {
		_, _ = fmt.Fprintln(k.env.Stdout, failed)
		return err
	}
	k.forget()
	if !ok {
		k.env.Note("%s: Agent was already not running", me)
		_, _ = fmt.Fprintln(k.env.Stdout, failed)
		return cli.Exit(cli.No)
	}
	_, err = fmt.Fprintf(k.env.Stdout, "unset OIDC_SOCK;\nunset OIDCD_PID;\necho Agent pid %d killed;\n", r.PID)
	return err
}
