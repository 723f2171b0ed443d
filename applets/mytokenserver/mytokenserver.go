// Package mytokenserver is the role that serves mytokens: "oidcbox mytoken-server setup" asks what it has to know and
// writes a configuration, check looks whether everything it needs is there, serve answers; keys, admin, backup and restore
// are for who operates it.
//
// It reads one configuration, opens the state, and puts together the packages below core/mytoken, which do the work. It
// knows no rule of mytokens and no page.
//
// Not a public API.
package mytokenserver

import (
	"context"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox mytoken-server".
type Cmd struct {
	Setup   setupCmd   `cmd:"" help:"Write a configuration, keys and an empty state for a new server."`
	Check   checkCmd   `cmd:"" help:"Look whether a server could work: configuration, keys, state, providers, mail."`
	Serve   serveCmd   `cmd:"" help:"Serve mytokens as a daemon."`
	Config  configCmd  `cmd:"" help:"Print an example of the configuration."`
	Keys    keysCmd    `cmd:"" help:"List the signing keys, or begin to sign with a new one."`
	Admin   adminCmd   `cmd:"" help:"List people and mytokens, revoke, erase a person."`
	Escrow  escrowCmd  `cmd:"" help:"Revoke at providers what nobody has a mytoken for, with a key that is not on the server."`
	Backup  backupCmd  `cmd:"" help:"Copy the state of a server to a file, also while it runs."`
	Copy    copyCmd    `cmd:"" help:"Copy the state to another engine: from a file to PostgreSQL, or back."`
	Restore restoreCmd `cmd:"" help:"Put a backup in the place of a state that is not there."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run is never reached: kong chooses a sub-command.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

// configFlag is how every command is told of the configuration.
type configFlag struct {
	Config string `default:"/etc/oidcbox/mytoken-server.yaml" placeholder:"FILE" help:"The configuration (${default})."`
}
