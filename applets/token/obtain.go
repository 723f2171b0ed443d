package token

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// settings are those of the file "config" for this program. A file that makes no sense is said, and costs nothing more.
func settings(env *cli.Env) login.TokenSettings {
	s, err := login.FindSettings(env.Getenv)
	if err != nil {
		env.Warn("%v", err)
	}
	return s.Token
}

// minValid is how long the token should live, in seconds or proto.ForceNew.
func (c *Cmd) minValid(env *cli.Env) int64 {
	switch {
	case c.ForceNew:
		return proto.ForceNew
	case c.Time != nil:
		return *c.Time
	}
	return int64(settings(env).MinLifetime / time.Second)
}

// obtain gets what was asked for. minValid is in seconds or proto.ForceNew. The caller wipes the result.
func (c *Cmd) obtain(ctx context.Context, env *cli.Env, minValid int64) (result, error) {
	if c.Exchange || c.ClientCredentials {
		return c.grant(ctx, env)
	}
	caller := relay.For(env)
	caller.Agent = caller.Agent.OrRemote(env.Getenv)
	rep, err := caller.Call(ctx, c.request(env, minValid))
	if err != nil {
		return result{}, proto.Explain(err, env.Upstream)
	}
	defer rep.Wipe()
	if err := rep.Err(); err != nil {
		return result{}, c.refusal(env, err)
	}
	return c.read(&rep)
}

// read takes the token that was asked for out of the answer.
func (c *Cmd) read(rep *proto.Reply) (result, error) {
	r := result{
		member: "access_token", issuer: rep.Issuer, expires: rep.ExpiresAt, scope: rep.Scope, narrowed: rep.Narrowed,
	}
	t := rep.AccessToken
	switch {
	case c.Mytoken != nil:
		return readMytoken(rep)
	case c.IDToken:
		r.member, t = "id_token", rep.IDToken
	}
	if t.Empty() {
		return result{}, errNoToken
	}
	r.value = t.Clone()
	return r, nil
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
		help := ae.Help
		if ae.Issuer != "" {
			help = strings.TrimPrefix(strings.TrimRight(help, "\n")+"\nThis was about "+c.asked(ae.Issuer)+".", "\n")
		}
		return cli.Fail(cli.No, err, help)
	}
	return cli.Fail(ae.Reason().ExitCode(), c.naming(ae), c.hint(env, ae))
}

// naming says of which login a provider spoke, and what was asked of it.
func (c *Cmd) naming(ae *proto.AgentError) error {
	if ae.Issuer == "" {
		about := ae.Reason() == proto.ReasonNotFound || ae.Reason() == proto.ReasonLogin
		if !about || proto.IsIssuer(c.Account, false) {
			return ae
		}
		said := *ae
		said.Text = strings.ToLower(ae.Text[:1]) + ae.Text[1:] // both reasons have a text
		return fmt.Errorf("login %s: %w", c.Account, &said)
	}
	return fmt.Errorf("%s: %w", c.asked(ae.Issuer), ae)
}

// asked names the request for a message about its failure.
func (c *Cmd) asked(issuer string) string {
	what := fmt.Sprintf("login %s at %s", c.Account, issuer)
	if c.Account == issuer {
		what = issuer
	}
	if s := c.scope(); s != "" {
		what += fmt.Sprintf(", scope %q", s)
	}
	if c.Aud != "" {
		what += fmt.Sprintf(", audience %q", c.Aud)
	}
	return what
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

// renewal is the request of a watch: a token that lives longer than valid.
func renewal(valid time.Duration) int64 {
	return int64(math.Ceil(valid.Seconds()))
}

// result is what there is to give. The caller wipes value.
type result struct {
	member   string // of the JSON object
	value    secret.Text
	issuer   string
	expires  int64  // Unix seconds; 0 unknown
	scope    string // as the provider said; "" when it said nothing
	narrowed bool   // somebody chose that it has less than it could
	saved    string // where the login of --save-as is, "" for nowhere
}

func (r result) expiry() time.Time {
	if r.expires <= 0 {
		return time.Time{}
	}
	return time.Unix(r.expires, 0)
}
