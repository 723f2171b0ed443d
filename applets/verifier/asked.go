package verifier

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// asked are the options for a token that the issuer is asked about: always with an opaque one, beside the signature with
// a JWT.
type asked struct {
	Introspect        bool   `help:"Ask the issuer's introspection endpoint whether the token is active. Opaque tokens need this or --userinfo."`
	Userinfo          bool   `help:"Ask the issuer's userinfo endpoint who it is, too."`
	ClientID          string `name:"client-id" placeholder:"ID" help:"Our client at the issuer, for --introspect."`
	ClientSecretFile  string `placeholder:"FILE" help:"Secret of --client-id: the first line of FILE."`
	OpaqueAnyAudience bool   `help:"Accept an opaque token also when the issuer does not say for whom it is, as userinfo never does."`
}

func (a *asked) wanted() bool { return a.Introspect || a.Userinfo }

// check refuses options that cannot work together.
func (a *asked) check(t *trust) error {
	switch {
	case !a.wanted() && (a.ClientID != "" || a.ClientSecretFile != "" || a.OpaqueAnyAudience):
		return cli.Failf(cli.Usage, "--client-id, --client-secret-file and --opaque-any-audience go with --introspect or --userinfo")
	case a.Introspect && (a.ClientID == "" || a.ClientSecretFile == ""):
		return cli.Fail(cli.Usage, errors.New("--introspect needs --client-id and --client-secret-file"),
			"issuers answer questions of their own clients only: register one for your service")
	case a.wanted() && t.Issuer == "":
		return cli.Fail(cli.Usage, errors.New("there is no issuer that could be asked"), "name it with --issuer URL")
	}
	return nil
}

// modes are how the gate is to check.
func (a *asked) modes() (list []gate.Mode) {
	if a.Introspect {
		list = append(list, gate.Introspection)
	}
	if a.Userinfo {
		list = append(list, gate.Userinfo)
	}
	return list
}

// secret is the client's.
func (a *asked) secret(env *cli.Env) (secret.Text, error) {
	const limit = 4 << 10
	if a.ClientSecretFile == "" {
		return secret.Text{}, nil
	}
	b, err := config.ReadFile(within(env, a.ClientSecretFile), limit)
	defer clear(b)
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	if line = bytes.TrimRight(line, "\r"); err == nil && len(line) == 0 {
		err = errors.New("its first line is empty")
	}
	if err != nil {
		return secret.Text{}, cli.Fail(cli.Usage, fmt.Errorf("--client-secret-file: %w", err), "")
	}
	return secret.New(bytes.Clone(line)), nil
}

// verdict is what there is to say about an accepted token.
type verdict struct {
	verify.Identity
	opaque                  bool
	introspection, userinfo jose.Object
}

// judgeAsking is trust.judge with the issuer's word beside or instead of a signature; the daemon's own judge does it.
func (c *tokenCmd) judgeAsking(ctx context.Context, env *cli.Env) (v verdict, refused, err error) {
	profiles, err := c.trust.check(env)
	if err != nil {
		return v, nil, err
	}
	pw, err := c.asked.secret(env)
	if err != nil {
		return v, nil, err
	}
	defer pw.Wipe()
	token, err := c.read(env)
	if err != nil {
		return v, nil, err
	}
	opaque := remote.IsOpaque(token)
	if opaque && !c.Introspect && !c.OpaqueAnyAudience {
		return v, errForNobody, nil // nobody has to be asked to know that
	}
	issuer, err := c.anchor(ctx, env, opaque)
	if err != nil {
		return v, nil, err
	}
	defer issuer.close()
	issuer.Profiles = profiles
	once := gateOnce{
		ca: c.caFile(env), keys: issuer.keys, shown: gate.Presented{Token: secret.New(token), Scheme: gate.Bearer},
		config: gate.Config{Audiences: c.Audience, Issuers: []gate.Issuer{{
			Issuer: issuer.Issuer, Check: c.modes(), Opaque: opaque, OpaqueAnyAudience: c.OpaqueAnyAudience,
			ClientID: c.ClientID, ClientSecret: pw,
		}}},
	}
	return once.ask(ctx, env, opaque)
}

// gateOnce is one token for a gate that is made for it.
type gateOnce struct {
	ca      string
	config  gate.Config
	keys    *provider.Keys // nil: they are fetched
	shown   gate.Presented
	service string
}

func (o gateOnce) ask(ctx context.Context, env *cli.Env, opaque bool) (v verdict, refused, err error) {
	hc, err := httpc.New(httpc.Options{CAFile: o.ca, UserAgent: "oidcbox-verifier", Getenv: env.Getenv})
	if err != nil {
		return v, nil, cli.Fail(cli.Usage, err, "")
	}
	defer hc.CloseIdle()
	g, err := gate.New(o.config, gate.Options{HTTP: hc, Keys: o.keys, Now: env.Now})
	if err != nil {
		return v, nil, cli.Fail(cli.Usage, err, "")
	}
	defer g.Close()
	out, err := g.Check(ctx, o.shown, o.service)
	if err != nil {
		return v, explained(gate.RefusalOf(err).Err, opaque), nil
	}
	return verdict{out.Identity, out.Opaque, out.Subject.Introspection, out.Subject.Userinfo}, nil, nil
}

// errForNobody: the issuer said that an opaque token is active, and not for whom it is.
var errForNobody = errors.New("the issuer does not say for whom the opaque token is")

func explained(refused error, opaque bool) error {
	var e *verify.AudienceError
	if opaque && errors.As(refused, &e) && len(e.Got) == 0 {
		return errForNobody
	}
	return refused
}

// anchor is the issuer; for an opaque token its keys are not looked for.
func (c *tokenCmd) anchor(ctx context.Context, env *cli.Env, opaque bool) (anchor, error) {
	if !opaque {
		return c.trusted(ctx, env)
	}
	a := anchor{Issuer: verify.Issuer{URL: c.Issuer}, close: func() {}}
	if c.JWKS != "" {
		return a, nil // whoever has its keys knows how it is written
	}
	hc, err := httpc.New(httpc.Options{CAFile: c.caFile(env), Getenv: env.Getenv})
	if err != nil {
		return a, cli.Fail(cli.Usage, err, "")
	}
	defer hc.CloseIdle()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	md, err := discover(ctx, env, hc, c.Issuer)
	if err != nil {
		return a, err
	}
	a.URL = md.Issuer
	return a, nil
}
