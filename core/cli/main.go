package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Grammar says how a role's command line is read.
type Grammar struct {
	Name    string // shown in help and messages
	Summary string
	// Argp accepts GNU argp habits: unambiguous prefixes of long options, options after operands.
	Argp bool
	// Brief is for a role that has nothing to clean up: a signal ends it at once, and it starts a quarter of a
	// millisecond sooner.
	Brief bool
	// Version is printed for --version under an upstream name, as "<program> <version>".
	Version string
	// Own turns the original's commands in a hint into ours, for somebody who knows us by our own names: pairs of what
	// is replaced and by what.
	Own []string
}

// Main parses args for cmd, runs it until it ends or the process is told to stop, and returns the exit code. SIGINT
// and SIGTERM cancel the context, except where Grammar.Brief leaves them to the system.
func Main(env *Env, g Grammar, cmd Command, args []string) int {
	if g.Brief && os.Getpid() != 1 {
		return Run(context.Background(), env, g, cmd, args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	reapOrphans(ctx)
	return Run(ctx, env, g, cmd, args)
}

// Run is Main without the signals, for tests and for roles that start others in-process.
func Run(ctx context.Context, env *Env, g Grammar, cmd Command, args []string) int {
	env.Name, env.Version, env.own = g.Name, g.Version, g.Own
	if c, ok := cmd.(Chooser); ok {
		cmd = c.Choose(env.Upstream, args)
	}
	if p, ok := cmd.(Parsed); ok {
		return Report(env, p.Run(ctx, env))
	}
	g, cmd, args = narrow(g, cmd, args)
	if _, rewrites := cmd.(Rewriter); !rewrites && oneWord(cmd, args) {
		return Report(env, cmd.Run(ctx, env))
	}
	exit := -1
	parser, err := newParser(g, cmd, env.Upstream,
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { exit = code; panic(errExit) }),
	)
	if err != nil {
		// A grammar that kong refuses is a programmer's error; every role's grammar is built in a test.
		panic(fmt.Sprintf("grammar of %s: %v", g.Name, err))
	}
	if r, ok := cmd.(Rewriter); ok {
		args = r.Rewrite(args)
	}
	if g.Argp {
		if args, err = ArgpRewrite(parser.Model, args); err != nil {
			return Report(env, usageError(g, err))
		}
	}
	kctx, code, err := parse(parser, args, &exit)
	if code >= 0 {
		return code
	}
	if err != nil {
		return Report(env, usageError(g, err))
	}
	if err := complete(kctx); err != nil {
		return Report(env, usageError(g, err))
	}
	return Report(env, selectedCommand(kctx, cmd).Run(ctx, env))
}

// Parsed is a command that a Chooser returns with its arguments read: no grammar is built for it.
type Parsed interface {
	Command
	Parsed()
}

// Rewriter is a command that takes options of another program beside its own: it puts them into a form that its grammar
// knows before the arguments are parsed.
type Rewriter interface {
	Rewrite(args []string) []string
}

// newParser builds the grammar of one role. Under an upstream name it also has the options every original program has.
func newParser(g Grammar, cmd Command, upstream bool, opts ...kong.Option) (*kong.Kong, error) {
	opts = append(opts,
		kong.Name(g.Name),
		kong.Description(g.Summary),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if upstream {
		opts = append(opts, kong.Embed(&upstreamFlags{}), kong.Vars{"version": g.Name + " " + g.Version})
	}
	return kong.New(cmd, opts...)
}

// upstreamFlags are the options GNU argp gives every program.
type upstreamFlags struct {
	Version kong.VersionFlag `short:"V" help:"Print program version."`
	Usage   usageFlag        `hidden:"" help:"Give a short usage message."`
}

type usageFlag bool

// BeforeReset prints the one usage line and ends, as argp does.
func (usageFlag) BeforeReset(app *kong.Kong) error {
	_, _ = fmt.Fprintf(app.Stdout, "Usage: %s %s\n", app.Model.Name, strings.TrimSpace(app.Model.Summary()))
	app.Exit(0)
	return nil
}

var errExit = errors.New("exit")

// parse turns kong's way of ending the process (--help) into a return value.
func parse(p *kong.Kong, args []string, exit *int) (kctx *kong.Context, code int, err error) {
	code = -1
	defer func() {
		switch r := recover(); {
		case r == nil:
		case r == any(errExit):
			code = *exit
		default:
			panic(r)
		}
	}()
	kctx, err = p.Parse(args)
	return kctx, code, err
}

// complete refuses a command line that stops at a branch. kong lets it pass where the branch has a Run method, and every
// role has one.
func complete(kctx *kong.Context) error {
	node := kctx.Model.Node
	if sel := kctx.Selected(); sel != nil {
		node = sel
	}
	var names []string
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	if len(node.Children) == 0 {
		return nil
	}
	return fmt.Errorf("a sub-command is missing: one of %s", strings.Join(names, ", "))
}

// selectedCommand is the deepest command struct on the chosen path that can run; the role itself when there is none.
func selectedCommand(kctx *kong.Context, root Command) Command {
	for i := len(kctx.Path) - 1; i >= 0; i-- {
		node := kctx.Path[i].Node()
		if node == nil || !node.Target.IsValid() || !node.Target.CanAddr() {
			continue
		}
		if c, ok := node.Target.Addr().Interface().(Command); ok {
			return c
		}
	}
	return root
}

// usageError hints at the help of the sub-command that was reached.
func usageError(g Grammar, err error) error {
	name := g.Name
	if at := (*kong.ParseError)(nil); errors.As(err, &at) {
		for _, p := range at.Context.Path {
			if p.Command != nil {
				name += " " + p.Command.Name
			}
		}
	}
	return &Error{Code: Usage, Hint: fmt.Sprintf("try '%s --help'", name), Err: inWords(err), misspelt: true}
}

// inWords says what kong leaves in its own terms: an operand or the value of an option that is not there.
func inWords(err error) error {
	text := err.Error()
	if option, ok := strings.CutSuffix(text, ` value but got "EOL" (<EOL>)`); ok {
		option, _, _ = strings.Cut(option, ": expected ")
		return fmt.Errorf("option '%s' requires an argument", option)
	}
	if operand, ok := strings.CutPrefix(text, `expected "<`); ok && strings.HasSuffix(operand, `>"`) {
		return fmt.Errorf("the %s is missing", strings.TrimSuffix(operand, `>"`))
	}
	return err
}
