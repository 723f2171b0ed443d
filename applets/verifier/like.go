package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/remote"
)

// like are the options for judging a token as a daemon would: for finding out why it says 401.
type like struct {
	Config  string `placeholder:"FILE" help:"Judge as the daemon with this configuration would, for whom the token is and all."`
	Service string `placeholder:"NAME" help:"With --config: for this service of it."`
}

// judgeLike judges with the issuers, audiences and checks of a configuration. --issuer is then the hint that a request
// may bring for an opaque token. What the policy says is another question (policy explain).
func (c *tokenCmd) judgeLike(ctx context.Context, env *cli.Env) (v verdict, refused, err error) {
	if err := c.checkLike(env); err != nil {
		return v, nil, err
	}
	s, err := readSettings(within(env, c.Config))
	if err != nil {
		return v, nil, configError(err)
	}
	if names := s.serviceNames(); c.Service != "" && !slices.Contains(names, c.Service) {
		return v, nil, cli.Fail(cli.Usage, errors.New("--service: there is no such service in the configuration"),
			"services are: "+strings.Join(names, ", "))
	}
	token, err := c.read(env)
	if err != nil {
		return v, nil, err
	}
	opaque := remote.IsOpaque(token)
	once := gateOnce{
		ca: s.caFile, config: s.gate, service: c.Service,
		shown: gate.Presented{Token: secret.New(token), Scheme: gate.Bearer, Issuer: c.Issuer},
	}
	return once.ask(ctx, env, opaque)
}

// checkLike refuses what the configuration says.
func (c *tokenCmd) checkLike(env *cli.Env) error {
	if c.Config == "" {
		return cli.Failf(cli.Usage, "--service goes with --config")
	}
	for _, o := range []struct {
		name  string
		given bool
	}{
		{"--jwks", c.JWKS != ""},
		{"--audience", len(c.Audience) > 0},
		{"--profile", c.Profile != ""},
		{"--keys-dir", c.KeysDir != ""},
		{"--ca-file", c.CAFile != ""},
		{"--introspect and --userinfo", c.wanted()},
	} {
		if o.given {
			return cli.Fail(cli.Usage, fmt.Errorf("%s and --config do not go together", o.name),
				"the configuration says whom to trust, for whom tokens have to be and who is asked")
		}
	}
	return refuseTerminal(env, c.TokenFile)
}
