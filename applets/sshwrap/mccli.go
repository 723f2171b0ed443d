package sshwrap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// mccliName is what the original is called.
const mccliName = "mccli"

// mccliCmd is the command line of mccli: its options stand in front of the command word and behind it.
type mccliCmd struct {
	wrapped
	word string // "ssh", "scp", "sftp" or "info"; "" while none was found
}

// NewMccli returns the role mccli.
func NewMccli() cli.Command { return &mccliCmd{} }

// Choose finds the command word.
func (c *mccliCmd) Choose(_ bool, args []string) cli.Command {
	at := commandWord(args)
	if slices.ContainsFunc(args[:at], func(a string) bool { return a == "-V" || a == "--version" }) {
		return &versionCmd{}
	}
	if at == len(args) {
		return c
	}
	c.compat, c.word = true, args[at]
	switch c.word {
	case "scp":
		c.program = sshlogin.SCP()
	case "sftp":
		c.program = sshlogin.SFTP()
	default:
		c.program = sshlogin.SSH()
	}
	return c
}

// Rewrite takes the command word out, and puts all options in front.
func (c *mccliCmd) Rewrite(args []string) []string {
	at := commandWord(args)
	first := slices.Clone(args[:at])
	for i, a := range first {
		if a == "-h" {
			first[i] = "--help"
		}
	}
	if at == len(args) {
		return first
	}
	rest := args[at+1:]
	if len(rest) > 0 && rest[0] == "-h" {
		rest = append([]string{"--help"}, rest[1:]...)
	}
	own, words := c.program.Partition(rest, takesValue)
	return slices.Concat(first, own, []string{"--"}, words)
}

// commandWord is the index of the first word that is neither option nor value; len(args) when there is none.
func commandWord(args []string) int {
	for i := 0; i < len(args); i++ {
		name, long := strings.CutPrefix(args[i], "--")
		switch {
		case long && !strings.Contains(name, "=") && takesValue(name):
			i++
		case !strings.HasPrefix(args[i], "-"):
			return i
		}
	}
	return len(args)
}

// Run does what the command word says.
func (c *mccliCmd) Run(ctx context.Context, env *cli.Env) error {
	switch c.word {
	case "":
		return cli.Fail(cli.Usage, fmt.Errorf("a command is missing"), "one of ssh, scp, sftp and info")
	case "ssh":
		return c.within(env, func(s *session) error { return s.ssh(ctx, c.words()) })
	case "scp":
		return c.within(env, func(s *session) error { return s.scp(ctx, c.words()) })
	case "sftp":
		return c.within(env, func(s *session) error { return s.sftp(ctx, c.words()) })
	case "info":
		return c.within(env, func(s *session) error { return s.info(ctx, c.words(), false) })
	}
	return cli.Fail(cli.Usage, fmt.Errorf("no such command %q", c.word), "one of ssh, scp, sftp and info")
}

// versionCmd is --version.
type versionCmd struct{}

// Run prints the line that the original prints, with our version.
func (*versionCmd) Run(_ context.Context, env *cli.Env) error {
	_, err := fmt.Fprintf(env.Stdout, "%s, %s\n", mccliName, env.Version)
	return err
}

// Rewrite leaves nothing to parse.
func (*versionCmd) Rewrite([]string) []string { return nil }
