package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

type rootCmd struct {
	Verbose bool    `short:"v" help:"Say more."`
	Do      doCmd   `cmd:"" help:"Do it."`
	Deep    deepCmd `cmd:"" help:"Has sub-commands."`
}

func (c *rootCmd) Run(context.Context, *cli.Env) error { return errors.New("the role itself ran") }

type doCmd struct {
	Name string `arg:"" complete:"logins"`
}

func (c *doCmd) Run(_ context.Context, env *cli.Env) error {
	fmt.Fprintln(env.Stdout, "did", c.Name)
	return nil
}

type deepCmd struct {
	Leaf leafCmd `cmd:"" help:"A leaf."`
}

type leafCmd struct{}

func (c *leafCmd) Run(_ context.Context, env *cli.Env) error {
	fmt.Fprintln(env.Stdout, "leaf")
	return nil
}

type plainCmd struct{ err error }

func (c *plainCmd) Run(context.Context, *cli.Env) error { return c.err }

func run(t *testing.T, cmd cli.Command, upstream bool, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	env := &cli.Env{Stdout: &o, Stderr: &e, Upstream: upstream, Getenv: func(string) string { return "" }}
	g := cli.Grammar{
		Name: "oidcbox x", Summary: "try", Version: "1.2.3",
		Own: []string{"$(oidc-agent)", "$(oidcbox x)", "oidc-add ", "oidcbox add "},
	}
	if upstream {
		g.Name = "oidc-x"
	}
	code = cli.Run(t.Context(), env, g, cmd, args)
	return code, o.String(), e.String()
}

func TestRunFindsTheCommand(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		help string
	}{
		{"sub-command with operand", []string{"do", "a"}, 0, "did a\n", ""},
		{"leaf of a branch", []string{"deep", "leaf"}, 0, "leaf\n", ""},
		{"nothing", nil, cli.Usage, "", "oidcbox x"},
		{"branch without leaf", []string{"deep"}, cli.Usage, "", "oidcbox x deep"},
		{"unknown flag", []string{"do", "--nope", "a"}, cli.Usage, "", "oidcbox x do"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := run(t, &rootCmd{}, false, c.args...)
			if code != c.code || out != c.out {
				t.Errorf("got %d %q (%s), want %d %q", code, out, errOut, c.code, c.out)
			}
			if code == cli.Usage && !strings.Contains(errOut, "hint: try '"+c.help+" --help'") {
				t.Errorf("no hint in %q", errOut)
			}
		})
	}
}

// bigCmd is all sub-commands, so that Run goes straight to one of them.
type bigCmd struct {
	SayWord sayCmd   `cmd:"" help:"Say it."`
	Odd     oddCmd   `cmd:"" name:"even" aliases:"par" help:"Named otherwise."`
	Group   groupCmd `cmd:"" help:"No command itself."`
}

func (*bigCmd) Run(context.Context, *cli.Env) error { return errors.New("the role itself ran") }

type groupCmd struct {
	Leaf leafCmd `cmd:"" help:"A leaf."`
}

type sayCmd struct {
	Word string `arg:""`
	Loud bool
}

func (c *sayCmd) Run(_ context.Context, env *cli.Env) error {
	fmt.Fprintln(env.Stdout, c.Word, c.Loud)
	return nil
}

type oddCmd struct{}

func (c *oddCmd) Run(_ context.Context, env *cli.Env) error {
	fmt.Fprintln(env.Stdout, "even")
	return nil
}

func TestRunGoesStraightToTheSubCommand(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
	}{
		{"with option and operand", []string{"say-word", "--loud", "x"}, 0, "x true\n"},
		{"by name tag", []string{"even"}, 0, "even\n"},
		{"by alias", []string{"par"}, 0, "even\n"},
		{"not by the Go name", []string{"odd"}, cli.Usage, ""},
		{"through a group", []string{"group", "leaf"}, 0, "leaf\n"},
		{"group alone", []string{"group"}, cli.Usage, ""},
		{"operand missing", []string{"say-word"}, cli.Usage, ""},
		{"option first", []string{"--loud", "say-word"}, cli.Usage, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := run(t, &bigCmd{}, false, c.args...)
			if code != c.code || out != c.out {
				t.Errorf("got %d %q (%s), want %d %q", code, out, errOut, c.code, c.out)
			}
		})
	}
	if _, out, _ := run(t, &bigCmd{}, false, "say-word", "--help"); !strings.HasPrefix(out, "Usage: oidcbox x say-word <word>") {
		t.Errorf("help of the sub-command: %s", out)
	}
}

func TestReport(t *testing.T) {
	base := errors.New("no agent is running")
	coded := cli.Fail(cli.Temporary, base, "start one with: eval $(oidc-agent)")
	for _, c := range []struct {
		name     string
		err      error
		upstream bool
		code     int
		want     string
	}{
		{"ok", nil, false, 0, ""},
		{"plain error", base, false, 1, "oidcbox x: no agent is running\n"},
		{"coded with hint", coded, false, 5, "oidcbox x: no agent is running\nhint: start one with: eval $(oidcbox x)\n"},
		{
			"wrapped keeps both", fmt.Errorf("get token: %w", coded), false, 5,
			"oidcbox x: get token: no agent is running\nhint: start one with: eval $(oidcbox x)\n",
		},
		{
			"an agent's sentences become one line", cli.Fail(cli.Human, errors.New("Agent locked"), "Unlock it\nwith:\n\toidc-add -X"), false, 6,
			"oidcbox x: agent locked\nhint: unlock it with: oidcbox add -X\n",
		},
		{
			"upstream keeps an agent's words", cli.Fail(cli.Human, errors.New("Agent locked"), "Unlock it\nwith:\n\toidc-add -X"), true, 1,
			"Error: Agent locked\nUnlock it\nwith:\n\toidc-add -X\n",
		},
		{
			"names keep their capitals", cli.Fail(cli.No, errors.New("OIDC_SOCK is wrong"), "TLS it is"), false, 1,
			"oidcbox x: OIDC_SOCK is wrong\nhint: TLS it is\n",
		},
		{"upstream code is 1", coded, true, 1, "Error: no agent is running\nstart one with: eval $(oidc-agent)\n"},
		{"upstream usage is 64", cli.Failf(cli.Usage, "bad"), true, 64, "Error: bad\n"},
		{"quiet exit", cli.Exit(cli.Human), false, 6, ""},
		{
			"escape sequences are shown, not sent", errors.New("said \x1b[2Jgone\r\u202e"), false, 1,
			`oidcbox x: said \u001b[2Jgone\u000d\u202e` + "\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errOut := run(t, &plainCmd{err: c.err}, c.upstream)
			if code != c.code || errOut != c.want {
				t.Errorf("got %d %q, want %d %q", code, errOut, c.code, c.want)
			}
		})
	}
}

func TestUpstreamOptions(t *testing.T) {
	for _, arg := range []string{"--version", "-V"} {
		if code, out, _ := run(t, &plainCmd{}, true, arg); code != 0 || out != "oidc-x 1.2.3\n" {
			t.Errorf("%s: got %d %q", arg, code, out)
		}
	}
	if code, out, _ := run(t, &plainCmd{}, true, "--usage"); code != 0 || !strings.HasPrefix(out, "Usage: oidc-x") {
		t.Errorf("--usage: got %d %q", code, out)
	}
	if code, _, _ := run(t, &plainCmd{}, true, "--nope"); code != 64 {
		t.Errorf("wrong usage: got %d, want 64", code)
	}
	if code, _, _ := run(t, &plainCmd{}, false, "-V"); code != cli.Usage {
		t.Errorf("our own name has no -V: got %d", code)
	}
}

func TestManEscapes(t *testing.T) {
	var b bytes.Buffer
	err := cli.Man(&b, cli.ManPage{
		Program: "oidcbox", Version: "1",
		Role:  cli.Role{Name: "x", Also: []string{"oidc-x"}, Sum: "try", New: func() cli.Command { return &rootCmd{} }},
		Prose: "Intro with `--flag` and back\\slash.\n\n## Files\n\n.dotted line\n\n```\n'quoted\n```\n\n* item\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Intro with \fB\-\-flag\fR and back\eslash.`, ".SH FILES", "\n\\&.dotted line\n", "\n\\&'quoted\n",
		".SS deep leaf", `.B \-v, \-\-verbose`, "Also called as: oidc\\-x",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("page lacks %q:\n%s", want, b.String())
		}
	}
}

func TestCompletionIsValidShell(t *testing.T) {
	roles := []cli.Role{
		{Name: "x", Also: []string{"oidc-x"}, Sum: "try", New: func() cli.Command { return &rootCmd{} }},
		{Name: "gone", Hidden: true, New: func() cli.Command { return &plainCmd{} }},
	}
	for _, shell := range cli.Shells() {
		var b bytes.Buffer
		if err := cli.Completion(&b, shell, "oidcbox", roles); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "--verbose") || strings.Contains(b.String(), "gone") {
			t.Errorf("%s: %s", shell, b.String())
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = &b
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v %s", shell, err, out)
			}
		}
	}
	if err := cli.Completion(&bytes.Buffer{}, "csh", "oidcbox", roles); err == nil {
		t.Error("an unknown shell got a script")
	}
}
