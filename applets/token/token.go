// Package token is the role that gives access tokens: oidc-token, and under our own name what else a token is needed
// for: a file that programs find or that is kept fresh, exchange, client credentials, revocation.
//
// It asks the agent; only with a client that is given in files it asks a provider itself. It opens no keystore and
// resolves no name before it has to, because scripts call it in loops.
//
// Not a public API.
package token

import (
	"context"
	"reflect"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Cmd is the whole grammar under our own name.
type Cmd struct {
	asking
	own
	Account string `arg:"" optional:"" complete:"logins" help:"Short name of a login, or an issuer (https://...)."`
}

// own are the options that oidc-token does not have.
type own struct {
	JSON       bool `name:"json" help:"Print a JSON object; with --watch one for each event."`
	AcceptLess bool `help:"Take a token also when the provider granted less than was asked for."`

	Store   bool    `help:"Write the token to where programs look for it, and print that place."`
	Watch   string  `placeholder:"FILE" help:"Keep a token in FILE and renew it until told to stop; 'default' is the place of --store."`
	RenewAt float64 `default:"0.67" placeholder:"SHARE" help:"With --watch: renew after this share of the token's life."`

	Exchange          bool     `help:"Exchange a token (RFC 8693) with the client of the login."`
	SubjectFile       string   `placeholder:"FILE" help:"Exchange the token in FILE, - for standard input."`
	SubjectLogin      string   `placeholder:"LOGIN" complete:"logins" help:"Exchange a token of this login."`
	SubjectType       string   `default:"access_token" placeholder:"TYPE" help:"What is exchanged: access_token, refresh_token, id_token, jwt or a URN."`
	RequestedType     string   `placeholder:"TYPE" help:"What is wanted for it, in the same words."`
	Resource          []string `sep:"none" placeholder:"URI" help:"Resource (RFC 8707) to name beside the audience. May be repeated."`
	SaveAs            string   `placeholder:"NAME" help:"Keep the refresh token of the exchange as a login of this name."`
	Replace           bool     `help:"With --save-as: also when there is a login of that name."`
	ClientCredentials bool     `help:"Get a token of the login's client itself (RFC 6749 4.4)."`

	Revoke    bool   `help:"Revoke the login's refresh token, or the token of --token-file."`
	TokenFile string `placeholder:"FILE" help:"With --revoke: revoke the token in FILE, - for standard input."`

	ClientID         string `name:"client-id" placeholder:"ID" help:"Use this client instead of a login's; name the issuer then."`
	ClientSecretFile string `placeholder:"FILE" help:"Secret of --client-id: the first line of FILE."`
	CAFile           string `name:"ca-file" placeholder:"FILE" help:"With --client-id: certificates (PEM) to trust instead of the system's."`
}

// oidcToken is the grammar of oidc-token.
type oidcToken struct {
	asking
	Account string `arg:"" help:"Short name of a login, or an issuer (https://...)."`
}

// plain is what scripts call in loops: each option more costs every start a little.
type plain struct {
	asking
	JSON    bool   `name:"json" help:"Print a JSON object."`
	Account string `arg:"" help:"Short name of a login, or an issuer (https://...)."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Choose leaves out what the command line has no use for.
func (c *Cmd) Choose(upstream bool, args []string) cli.Command {
	if upstream {
		return &oidcToken{}
	}
	for _, arg := range args {
		name, isLong := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		if arg == "-h" || arg == "-?" || arg == "-" || isLong && (name == "" || needsAll(name)) {
			return c
		}
	}
	if len(args) == 0 {
		return c
	}
	return &plain{}
}

// needsAll reports whether an option, or the beginning of one, may be one that only the whole grammar has.
func needsAll(name string) bool {
	if strings.HasPrefix("help", name) {
		return true
	}
	t := reflect.TypeFor[own]()
	for f := range t.NumField() {
		if n := optionName(t.Field(f)); n != "json" && strings.HasPrefix(n, name) {
			return true
		}
	}
	return false
}

// optionName is the name kong gives a field: its name tag, else the words of its Go name.
func optionName(f reflect.StructField) string {
	if n := f.Tag.Get("name"); n != "" {
		return n
	}
	var b strings.Builder
	for i, r := range f.Name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// Run is oidc-token.
func (o *oidcToken) Run(ctx context.Context, env *cli.Env) error {
	return (&Cmd{asking: o.asking, Account: o.Account}).Run(ctx, env)
}

// Run is the role for a command line without anything special in it.
func (p *plain) Run(ctx context.Context, env *cli.Env) error {
	return (&Cmd{asking: p.asking, own: own{JSON: p.JSON}, Account: p.Account}).Run(ctx, env)
}

// Run gives what was asked for, or ends it.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	if err := c.check(env); err != nil {
		return err
	}
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	switch {
	case c.Revoke:
		return c.revoke(ctx, env)
	case c.Watch != "":
		return c.watch(ctx, env)
	case c.Store:
		return c.store(ctx, env)
	}
	return c.printOne(ctx, env)
}
