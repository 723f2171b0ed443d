// Package sshwrap is the roles that log in by ssh with an access token: ssh, scp and sftp, mccli for those who know
// them by that name, the small helpers that ssh calls on the way, and the authentication plug-in of PuTTY.
//
// The programs of OpenSSH do the work, unchanged: they get their own arguments, their own standard streams, and end as
// they end. What is done before is finding the account service of the host, a token, and the account; what is done
// meanwhile is answering the one question that asks for the token. The secret goes over a private socket, never into
// arguments or the environment. What the service says is judged by core/sshlogin; it is not the service, and it checks
// no token.
//
// Not a public API.
package sshwrap

import (
	"context"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// options are what the wrapper knows beside the options of ssh. They have two dashes; ssh's have one.
type options struct {
	Token  string `placeholder:"TOKEN" help:"Access token. Others on this machine can read arguments: ACCESS_TOKEN is better."`
	OIDC   string `name:"oidc" aliases:"oa-account" placeholder:"LOGIN" help:"Login of the agent, by its short name (OIDC_AGENT_ACCOUNT)."`
	Issuer string `name:"issuer" aliases:"iss" placeholder:"URL" help:"Issuer of which the agent has a login (OIDC_ISS)."`
	MTFile string `name:"MT-file" aliases:"mt-file" placeholder:"FILE" help:"Get the access token for the mytoken in a file, which is kept up to date."`
	MTEnv  string `name:"MT-env" aliases:"mt-env" placeholder:"VAR" help:"Get the access token for the mytoken in an environment variable."`
	Scope  string `placeholder:"SCOPES" help:"Scopes of the token, instead of those that the service wants."`
	Aud    string `aliases:"audience" placeholder:"AUDIENCE" help:"Audience of the token, instead of the one that the service wants."`

	Endpoint string `name:"mc-endpoint" placeholder:"URL" help:"Account service of the host; by default it is looked for at ports 443, 8443 and 8080."`
	CAFile   string `name:"ca-file" placeholder:"FILE" help:"Trust these certificate authorities alone."`
	Insecure bool   `help:"Send the token to a service without TLS. Certificates are checked all the same, see --ca-file."`
	NoCache  bool   `help:"Ask the service what it said less than five minutes ago."`

	ForwardAgent bool `help:"Let programs on the host get tokens from your agent."`
	SetRemoteEnv bool `help:"With a forwarded agent: set OIDC_SOCK on the host (it always is, but under the name mccli)."`
	DryRun       bool `help:"Print the command instead of running it. The account is made ready all the same."`

	Debug               bool   `help:"Say what is done."`
	LogLevel            string `placeholder:"LEVEL" help:"DEBUG is --debug; the other levels change nothing (LOG)."`
	DisableVersionCheck bool   `hidden:"" help:"Accepted and ignored: no version is checked."`
}

// takesValue reports whether an option of that name has a value. It is the list above, in the only form in which a line
// can be split before it is parsed.
func takesValue(name string) bool {
	return slices.Contains([]string{
		"token", "oidc", "oa-account", "issuer", "iss", "MT-file", "mt-file", "MT-env", "mt-env", "scope", "aud", "audience",
		"mc-endpoint", "ca-file", "log-level", "control-path", "as",
	}, name)
}

// wrapped is the grammar of ssh, scp and sftp: our options, and the words of the program.
type wrapped struct {
	options
	Args []string `arg:"" optional:"" passthrough:"partial" help:"The program's own options and operands. Beside them ssh has info HOST and config HOST."`

	program sshlogin.Program
	compat  bool // called as mccli
}

// Rewrite puts our options in front.
func (c *wrapped) Rewrite(args []string) []string {
	own, rest := c.program.Partition(args, takesValue)
	return slices.Concat(own, []string{"--"}, rest)
}

// words are those of the program: the dashes that Rewrite has put in front of them are not.
func (c *wrapped) words() []string {
	if len(c.Args) > 0 && c.Args[0] == "--" {
		return c.Args[1:]
	}
	return c.Args
}

// sshCmd is ssh, and the two words it has beside: "config" and "info".
type sshCmd struct{ wrapped }

// NewSSH returns the role ssh.
func NewSSH() cli.Command { return &sshCmd{wrapped{program: sshlogin.SSH()}} }

// NewSCP returns the role scp.
func NewSCP() cli.Command { return &scpCmd{wrapped{program: sshlogin.SCP()}} }

// NewSFTP returns the role sftp.
func NewSFTP() cli.Command { return &sftpCmd{wrapped{program: sshlogin.SFTP()}} }

// beside are the words of "oidcbox ssh" that are no host.
type beside struct {
	Config configCmd `cmd:"" help:"Print lines for ~/.ssh/config after which plain ssh logs in with a token."`
	Info   infoCmd   `cmd:"" help:"Show what the account service of a host says, and about which account."`
}

// Run is never reached: a sub-command is chosen.
func (*beside) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

// Choose reads "config HOST" and "info HOST" with grammars of their own. A host of that name is reached with -- in
// front.
func (c *sshCmd) Choose(_ bool, args []string) cli.Command {
	if len(args) > 0 && (args[0] == "config" || args[0] == "info") {
		return &beside{}
	}
	return c
}

// Run logs in, and ends as ssh does.
func (c *sshCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.within(env, func(s *session) error { return s.ssh(ctx, c.words()) })
}

type scpCmd struct{ wrapped }

// Run copies, and ends as scp does.
func (c *scpCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.within(env, func(s *session) error { return s.scp(ctx, c.words()) })
}

type sftpCmd struct{ wrapped }

// Run opens a session, and ends as sftp does.
func (c *sftpCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.within(env, func(s *session) error { return s.sftp(ctx, c.words()) })
}

// verbose reports whether what is done is said.
func (o *options) verbose(env *cli.Env) bool {
	level := o.LogLevel
	if level == "" {
		level = env.Getenv("LOG")
	}
	return o.Debug || strings.EqualFold(level, "debug")
}

// check refuses what cannot be meant together.
func (o *options) check() error {
	n := 0
	for _, given := range []string{o.Token, o.OIDC, o.Issuer, o.MTFile, o.MTEnv} {
		if given != "" {
			n++
		}
	}
	if n > 1 {
		return cli.Failf(cli.Usage, "choose one of --token, --oidc, --issuer, --MT-file and --MT-env")
	}
	return nil
}
