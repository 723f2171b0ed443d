// Package self is the role about the binary: its version, its links, its manual, completion, what is wrong
// with the machine around it (doctor*.go), and the care of a keystore. The keystore commands are in keystore*.go.
//
// Not a public API.
package self

import (
	"context"
	"fmt"
	"runtime"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox self".
type Cmd struct {
	Version      versionCmd      `cmd:"" help:"Print version, Go version and platform."`
	InstallLinks installLinksCmd `cmd:"" help:"Make the links under which the binary acts as its roles."`
	InstallUnits installUnitsCmd `cmd:"" help:"Write the units that let systemd start the agent when somebody asks."`
	Man          manCmd          `cmd:"" help:"Print a man page, or write all of them into a directory."`
	Completion   completionCmd   `cmd:"" help:"Print a completion script for a shell."`
	Keystore     KeystoreCmd     `cmd:"" help:"Take care of a keystore: make, check, copy, slots."`
	Doctor       doctorCmd       `cmd:"" help:"Say what is wrong with agent, keystore, logins and providers, and what to do."`
	// RevokeEverything is for the laptop that was lost.
	RevokeEverything RevokeEverythingCmd `cmd:"" help:"Revoke every login at its provider, and remove it."`

	CompleteValues completeValuesCmd `cmd:"" hidden:"" help:"Print words for completion."`
}

// box is what the sub-commands know of the binary they are in.
type box struct {
	program, version string
	roles            []cli.Role
}

// New returns the role. It is told of the table because it describes the others.
func New(program, version string, roles []cli.Role) cli.Command {
	b := box{program: program, version: version, roles: roles}
	return &Cmd{
		Version:      versionCmd{box: b},
		InstallLinks: installLinksCmd{box: b},
		Man:          manCmd{box: b},
		Completion:   completionCmd{box: b},
		Doctor:       doctorCmd{box: b},
	}
}

// Run is never reached: kong asks for a sub-command first.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

type versionCmd struct {
	box `kong:"-"`
}

func (c *versionCmd) Run(_ context.Context, env *cli.Env) error {
	_, err := fmt.Fprintf(env.Stdout, "%s %s %s %s/%s\n", c.program, c.version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

type completionCmd struct {
	box   `kong:"-"`
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Run(_ context.Context, env *cli.Env) error {
	return cli.Completion(env.Stdout, c.Shell, c.program, c.roles)
}
