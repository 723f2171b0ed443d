// Package userinfo is the role that shows all that is known about an access token: what stands in it, what its issuer's
// userinfo endpoint says, and what introspection says. Under the name flaat-userinfo it takes the options of that
// program and gives its output and exit codes.
//
// It shows, and decides nothing: no audience is asked for, and the issuer of a JWT is believed about its own tokens
// only. Whether a service should let somebody in is the question of "verifier token".
//
// Not a public API.
package userinfo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// upstream is the name of the program we stand in for.
const upstream = "flaat-userinfo"

// Cmd is the grammar of flaat-userinfo, with a few options more for what should not be on a command line.
type Cmd struct {
	Config           string `name:"my-config" short:"c" placeholder:"FILE" help:"Take options from this file (name = value)."`
	ClientID         string `name:"client_id" placeholder:"ID" help:"Client for token introspection."`
	ClientSecret     string `name:"client_secret" placeholder:"SECRET" help:"Its secret. Everybody here can read it: use --client-secret-file."`
	ClientSecretFile string `name:"client-secret-file" placeholder:"FILE" help:"Secret of --client_id: the first line of FILE."`
	Account          string `name:"oidc-agent-account" short:"o" placeholder:"NAME" complete:"logins" help:"Take a token from the agent: short name of a login."`
	Issuer           string `short:"i" placeholder:"URL" help:"Issuer of the token. An opaque token does not say it."`
	Audience         string `aliases:"aud" placeholder:"AUD" help:"Audience of the token asked from the agent. Several are separated by blanks."`
	TokenFile        string `placeholder:"FILE" help:"Where the token is, - for standard input."`
	CAFile           string `name:"ca-file" placeholder:"FILE" help:"Certificates (PEM) to trust instead of the system's."`

	SkipTLS       bool `name:"skip_tls_verify" help:"Accepted and ignored: certificates are always checked, see --ca-file."`
	SkipJWT       bool `name:"skip_jwt_verify" help:"Show a JWT also when its signature is not right or it has expired."`
	AccessToken   bool `name:"accesstoken" help:"Show what stands in the token (-at)."`
	Userinfo      bool `name:"userinfo" help:"Show what the userinfo endpoint says (-ui)."`
	Introspection bool `name:"introspection" help:"Show what introspection says (-in)."`
	All           bool `short:"a" help:"Show all of that, the default."`
	Quiet         bool `short:"q" help:"Only what was asked for, no explanations."`
	Verbose       bool `short:"v" help:"Say what is done."`
	Machine       bool `name:"machine-readable" short:"m" help:"Print one JSON object of all."`
	TrustAny      bool `name:"trust-any" aliases:"any" help:"Accepted; it is always so: the issuer that a JWT names is asked."`

	Token []string `arg:"" optional:"" name:"access_token" help:"The token; - for standard input, which nobody else can read."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Rewrite turns the original's options of one dash and two letters into the long ones.
func (*Cmd) Rewrite(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		switch a {
		case "-at":
			args[i] = "--accesstoken"
		case "-ui":
			args[i] = "--userinfo"
		case "-in":
			args[i] = "--introspection"
		case "--":
			return args
		}
	}
	return args
}

// Exit codes of the original.
const (
	codeNoToken = 1
	codeNoInfos = 2
	codeOther   = 3
)

var (
	// errNoToken: there is a token at none of the places.
	errNoToken = errors.New("no access token found")
	// errNoInfos: the issuer said nothing about the person.
	errNoInfos = errors.New("no user infos found")
)

// Run exits under the original's name with 0, with 1 when there is no token, with 2 when the issuer says nothing about
// the person and with 3 for everything else; under our own with the codes of all our commands.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	if err := c.configure(env); err != nil {
		return err
	}
	found, err := c.show(ctx, env)
	if err != nil {
		return c.fail(env, err)
	}
	return c.print(env, found)
}

func (c *Cmd) show(ctx context.Context, env *cli.Env) (infos, error) {
	if c.SkipTLS {
		env.Warn("--skip_tls_verify changes nothing: use --ca-file for an issuer with an authority of its own")
	}
	t, err := c.token(ctx, env)
	if err != nil {
		return infos{}, err
	}
	defer t.text.Wipe()
	c.info(env, "Using access token from %s", t.where)
	return c.fetch(ctx, env, t)
}

// fail says what went wrong in the original's form, or in ours.
func (c *Cmd) fail(env *cli.Env, err error) error {
	if env.Command != upstream {
		return own(err)
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(env.Stderr, cli.Printable(fmt.Sprintf(format, args...)))
	}
	var coded *cli.Error
	hint := ""
	if errors.As(err, &coded) {
		hint = coded.Hint
	}
	code := codeOther
	switch {
	case errors.Is(err, errNoToken):
		code = codeNoToken
		say("No access token found")
	case errors.Is(err, errNoInfos):
		code = codeNoInfos
		if c.Machine {
			if _, err := fmt.Fprintln(env.Stdout, `{"error": "No user infos found"}`); err != nil {
				return err
			}
		}
		say("Error: No user infos found\n%s", upperFirst(strings.TrimPrefix(err.Error(), errNoInfos.Error()+": ")))
	default:
		say("Error: %s", upperFirst(err.Error()))
	}
	if hint != "" {
		say("%s", hint)
	}
	return cli.Exit(code)
}

func upperFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// own gives the errors of the original our exit codes.
func own(err error) error {
	var coded *cli.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, errNoToken):
		return cli.Fail(cli.NotFound, errors.New("there is no token"),
			"name a login with -o, or pipe a token into: userinfo -")
	}
	return cli.Fail(cli.No, err, "")
}

// info tells a person what is going on.
func (c *Cmd) info(env *cli.Env, format string, args ...any) {
	if !c.Quiet {
		env.Note(format, args...)
	}
}

func (c *Cmd) debug(env *cli.Env, format string, args ...any) {
	if c.Verbose && !c.Quiet {
		env.Note(format, args...)
	}
}
