// Package token is the role that prints an access token: oidc-token.
//
// It asks the agent and prints; that is all. It opens no keystore, reads no configuration and resolves no name, because
// scripts call it in loops.
//
// Not a public API.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// alone is the value of an option with an optional value that was given none. It cannot be the name of a variable.
const alone = "-"

// Cmd is the grammar: that of oidc-token, and --json under our name.
type Cmd struct {
	Time     int64    `short:"t" placeholder:"SECONDS" help:"Minimum number of seconds the token should be valid."`
	Scope    []string `short:"s" sep:"none" placeholder:"SCOPE" help:"Scope to ask for. Separated by blanks, or given several times."`
	Aud      string   `aliases:"audience" placeholder:"AUDIENCE" help:"Audience to ask for. Several are separated by blanks."`
	ForceNew bool     `short:"f" help:"Get a new token, whatever is in the cache."`

	Token     *string `short:"o" optvalue:"-" placeholder:"OIDC_AT" help:"Print the token; with more of -o -i -e, or a name attached, as shell assignments."`
	Issuer    *string `short:"i" optvalue:"-" placeholder:"OIDC_ISS" help:"Print the issuer; see -o."`
	ExpiresAt *string `short:"e" optvalue:"-" placeholder:"OIDC_EXP" help:"Print the time of expiry in Unix seconds; see -o."`
	Env       bool    `short:"c" help:"Print all three as shell assignments."`
	All       bool    `short:"a" help:"Print all three, one per line."`

	Bearer     bool `help:"Print 'Bearer TOKEN'."`
	AuthHeader bool `aliases:"auth" help:"Print 'Authorization: Bearer TOKEN' without a line end."`
	JSON       bool `name:"json" help:"Print a JSON object (not as oidc-token)."`

	Name    string  `default:"oidc-token" placeholder:"NAME" help:"Name of the program that asks, shown to the person."`
	IDToken bool    `name:"id-token" help:"Print an ID token instead."`
	Mytoken *string `short:"m" optvalue:"-" aliases:"MT" placeholder:"PROFILE" help:"Print a mytoken instead, made by the profile."`
	Seccomp bool    `hidden:"" help:"Accepted and ignored."`

	Account string `arg:"" complete:"logins" help:"Short name of a login, or an issuer (https://...)."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run asks the agent and prints what was asked for.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	if err := c.check(env); err != nil {
		return err
	}
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	rep, err := relay.For(env).Call(ctx, c.request(env))
	if err != nil {
		return proto.Explain(err, env.Upstream)
	}
	defer rep.Wipe()
	if err := rep.Err(); err != nil {
		return c.refusal(env, err)
	}
	r, err := c.read(&rep)
	if err != nil {
		return err
	}
	defer clear(r.value)
	c.noteIssuer(env, r)
	c.warnShort(env, r)
	out, err := c.print(r)
	if err != nil {
		return err
	}
	defer clear(out)
	if _, err := env.Stdout.Write(out); err != nil {
		return fmt.Errorf("print the token: %w", err)
	}
	return nil
}

// check refuses what cannot be meant. Names of variables go to a shell's eval.
func (c *Cmd) check(env *cli.Env) error {
	if c.JSON && env.Upstream {
		return cli.Failf(cli.Usage, "unrecognized option '--json'")
	}
	for _, name := range []*string{c.Token, c.Issuer, c.ExpiresAt} {
		if v := variable(name); v != "" && !variableName().MatchString(v) {
			return cli.Failf(cli.Usage, "%q is no name of a shell variable", v)
		}
	}
	if c.Mytoken != nil && proto.IsIssuer(c.Account, env.Upstream) {
		return cli.Failf(cli.Usage, "a mytoken is asked for by the short name of a login, not by issuer")
	}
	return nil
}

var variableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// variable is the name attached to an option, "" for none.
func variable(opt *string) string {
	if opt == nil || *opt == alone {
		return ""
	}
	return *opt
}

func (c *Cmd) request(env *cli.Env) proto.Request {
	r := proto.Request{
		Type: proto.TypeAccessToken, MinValid: c.Time, Hint: c.Name,
		Scope: strings.Join(c.Scope, " "), Audience: c.Aud,
	}
	if c.ForceNew {
		r.MinValid = proto.ForceNew
	}
	switch {
	case c.Mytoken != nil:
		r.Type, r.MinValid = proto.TypeMytoken, 0
		r.MytokenProfile = profile(variable(c.Mytoken))
	case c.IDToken:
		r.Type, r.MinValid = proto.TypeIDToken, 0
	}
	if proto.IsIssuer(c.Account, env.Upstream) {
		r.Issuer = c.Account
	} else {
		r.Account = c.Account
	}
	return r
}

// profile is a mytoken profile as JSON: an object as it is, a name as a string.
func profile(s string) json.RawMessage {
	const defaultProfile = "web-default"
	if s == "" {
		s = defaultProfile
	}
	if strings.HasPrefix(s, "{") && json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // a string always encodes
	}
	return b
}

// refusal is what the agent said, with our exit code.
func (c *Cmd) refusal(env *cli.Env, err error) error {
	var ae *proto.AgentError
	if !errors.As(err, &ae) {
		return err
	}
	if c.IDToken && env.Upstream {
		// Here the original prints the bare words.
		env.Note("%s", ae.Text)
		return cli.Exit(cli.No)
	}
	if env.Upstream {
		return cli.Fail(cli.No, err, ae.Help)
	}
	return cli.Fail(ae.Reason().ExitCode(), err, c.hint(env, ae))
}

// hint is what the agent said to do, or what usually helps.
func (c *Cmd) hint(env *cli.Env, ae *proto.AgentError) string {
	switch reason := ae.Reason(); {
	case reason == proto.ReasonLogin && !proto.IsIssuer(c.Account, env.Upstream):
		return "log in again with: oidc-gen --reauthenticate " + c.Account
	case ae.Help != "":
		return ae.Help
	case reason == proto.ReasonLocked:
		return "unlock it with: oidc-add --unlock"
	case reason == proto.ReasonNotFound:
		return "see what there is with: oidc-add --list"
	case reason == proto.ReasonTemporary:
		return "try again later"
	}
	return ""
}

// noteIssuer says how the provider spells its name, when that is not how it was typed: tokens are compared exactly.
func (c *Cmd) noteIssuer(env *cli.Env, r result) {
	if proto.IsIssuer(c.Account, env.Upstream) && r.issuer != c.Account {
		env.Note("the issuer is %s", r.issuer)
	}
}

// warnShort says that a token will not live as long as was asked. It is used all the same: there is no better one.
func (c *Cmd) warnShort(env *cli.Env, r result) {
	if c.Time <= 0 || r.expires <= 0 {
		return
	}
	left := time.Unix(r.expires, 0).Sub(env.Now())
	if left < time.Duration(c.Time)*time.Second {
		env.Warn("the token is valid for %d s only; the provider gives none for longer", int64(left/time.Second))
	}
}
