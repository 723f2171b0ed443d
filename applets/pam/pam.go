// Package pam is the role that sshd's PAM stack calls (pam_exec, or the module in packaging/pam): it takes the secret
// that a user typed, looks whether it can be one of ours and whether the account is one of ours, and asks the
// provisioner. Beside it "pam check" examines how a host is set up, and "pam config" sets it up.
//
// The helper runs as root in front of everybody who can reach sshd, so it believes little: not the secret, which may be
// a local user's password and then goes nowhere; not the answer, which counts only for accounts that the helper itself
// finds to be federated ones. It waits no longer than three seconds, and everything that is not a clear yes is a no. It
// makes no accounts: sshd has looked the user up before PAM is asked.
//
// Standards: pam_exec(8), RFC 3164 for what it writes to the log, RFC 6750 for https.
//
// Not a public API.
package pam

import (
	"context"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox pam".
type Cmd struct {
	Login  loginCmd  `cmd:"" default:"withargs" help:"Answer PAM: what pam_exec calls."`
	Check  checkCmd  `cmd:"" help:"Examine sshd, the PAM stack and the socket of this host, and try them."`
	Config configCmd `cmd:"" help:"Put the helper into the PAM stack of sshd, or take it out."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run is never reached: kong chooses a sub-command.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

// Choose leaves the grammar unbuilt for the command line of a PAM stack: a login waits for it, and what is wrong with
// the line has to reach the log, since nobody sees standard error.
func (c *Cmd) Choose(_ bool, args []string) cli.Command {
	if len(args) > 0 {
		switch args[0] {
		case "check", "config", "login", "-h", "--help":
			return c
		}
	}
	h := &quick{}
	h.err = h.cmd.options.read(args)
	return h
}

// quick is loginCmd with its arguments read.
type quick struct {
	cmd loginCmd
	err error
}

// Parsed is for cli.Run: there is no grammar to build.
func (*quick) Parsed() {}

// Run answers PAM.
func (q *quick) Run(ctx context.Context, env *cli.Env) error { return q.cmd.answer(ctx, env, q.err) }
