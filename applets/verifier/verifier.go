// Package verifier is the role that checks access tokens: "oidcbox verifier token" says yes or no to one; scope,
// entitlement and jws to a part of the question; policy reads policies and explains their decisions.
//
// It prints and chooses exit codes; the judgement is that of the packages below core/token.
//
// Not a public API.
package verifier

import (
	"context"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox verifier".
type Cmd struct {
	// What is no command goes to token, which refuses it without repeating it: it may be a token.
	Token tokenCmd `cmd:"" default:"withargs" help:"Check one access token, read from a file or standard input."`

	Scope       scopeCmd       `cmd:"" help:"Ask whether a scope claim allows an operation on a path."`
	Entitlement entitlementCmd `cmd:"" help:"Ask whether an entitlement satisfies another (AARC-G069, AARC-G002)."`
	JWS         jwsCmd         `cmd:"" name:"jws" help:"Check the signature of a JWS and nothing else."`
	Policy      policyCmd      `cmd:"" help:"Check a policy file, or explain what it says of a token."`
	Serve       serveCmd       `cmd:"" help:"Answer reverse proxies, and services that introspect, as a daemon."`
	Config      configCmd      `cmd:"" help:"Print an example of the daemon's configuration, or check one."`
	Issuers     issuersCmd     `cmd:"" help:"Show how fresh the keys of the trusted issuers are; refresh or drop them."`
}

// New returns the role.
func New() cli.Command {
	c := &Cmd{}
	c.Issuers.link()
	return c
}

// Run is never reached: kong chooses a sub-command.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}
