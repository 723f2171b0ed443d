// Package provisioner is the role that gives people with a federated identity an account: "oidcbox provisioner serve"
// answers clients, pages and the PAM helper, worker makes the accounts, relay stands in for serve on a login node; setup
// writes their configurations, admin is for who has to stop somebody now, import-config reads those of motley-cue and the
// feudal adapter.
//
// It reads configurations, opens state and sockets, and puts together the packages below core/account, which do the work.
// It knows no rule of accounts, no request of the interface and no page.
//
// Not a public API.
package provisioner

import (
	"context"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox provisioner".
type Cmd struct {
	Setup  setupCmd  `cmd:"" help:"Write the configurations of server and worker, and an empty state."`
	Serve  serveCmd  `cmd:"" help:"Answer clients and the PAM helper, as a daemon without rights."`
	Worker workerCmd `cmd:"" help:"Make and stop accounts for the server, as a daemon of root."`
	Relay  relayCmd  `cmd:"" help:"Let the PAM helper of this node ask a central server."`
	Config configCmd `cmd:"" help:"Print examples of the configurations, or check one."`
	Admin  adminCmd  `cmd:"" help:"Look at accounts, stop and resume people, decide about requests."`
	Import importCmd `cmd:"" name:"import-config" help:"Convert the configuration of motley-cue and of the feudal adapter."`
	Adopt  adoptCmd  `cmd:"" help:"Take accounts that are there into the records of the worker, while it does not run."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run is never reached: kong chooses a sub-command.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

// configFlag is how commands about the server are told of its configuration.
type configFlag struct {
	Config string `default:"/etc/oidcbox/provisioner.yaml" placeholder:"FILE" help:"The configuration of the server (${default})."`
}
