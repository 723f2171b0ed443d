package userinfo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/bearer"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// askTime bounds all that is asked about one token.
const askTime = 30 * time.Second

// infos are the three parts. What was not to be had is nil.
type infos struct {
	token         *parts
	user          object
	introspection object
}

// parts are those of a JWT.
type parts struct {
	header, body jose.Object
	signature    string
	verified     jose.Alg // "" when the signature was not checked
}

// decode takes a JWT apart without believing it; nil when it is none.
func decode(token []byte) *parts {
	list := bytes.Split(token, []byte{'.'})
	if len(list) != 3 || len(list[0]) == 0 {
		return nil
	}
	object := func(part []byte) (jose.Object, bool) {
		b, err := base64.RawURLEncoding.DecodeString(string(part))
		if err != nil {
			return jose.Object{}, false
		}
		o, err := jose.StrictObject(b, jose.PayloadDepth, jose.PayloadMembers)
		return o, err == nil
	}
	p := &parts{signature: string(list[2])}
	var headOK, bodyOK bool
	p.header, headOK = object(list[0])
	p.body, bodyOK = object(list[1])
	if !headOK || !bodyOK {
		return nil
	}
	return p
}

// fetch asks the issuer. Nothing but its public documents is fetched before a JWT's signature was found right.
func (c *Cmd) fetch(ctx context.Context, env *cli.Env, t held) (found infos, err error) {
	err = t.text.Use(func(b []byte) error {
		found, err = c.ask(ctx, env, t, b)
		return err
	})
	return found, err
}

func (c *Cmd) ask(ctx context.Context, env *cli.Env, t held, token []byte) (infos, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if !bearer.Valid(token) {
		return infos{}, bearer.ErrNotToken
	}
	found := infos{token: decode(token)}
	issuer, err := c.issuerOf(found.token, t)
	if err != nil {
		return infos{}, err
	}
	hc, err := httpc.New(httpc.Options{CAFile: c.caFile(env), Getenv: env.Getenv, UserAgent: "oidcbox-userinfo"})
	if err != nil {
		return infos{}, cli.Fail(cli.Usage, err, "")
	}
	defer hc.CloseIdle()
	md, err := c.discover(ctx, env, hc, issuer)
	if err != nil {
		return infos{}, err
	}
	if err := c.verify(ctx, env, hc, md, token, found.token); err != nil {
		return infos{}, err
	}
	pw, err := c.secret(env)
	if err != nil {
		return infos{}, err
	}
	defer pw.Wipe()
	cl := flow.New(hc, md, flow.ClientConfig{ID: c.ClientID, Secret: pw}, flow.Options{Now: env.Now})
	if err := c.questions(ctx, env, cl, t, &found); err != nil {
		return infos{}, err
	}
	found.complete(md.Issuer)
	return found, nil
}

// questions asks both endpoints. Only userinfo has to answer.
func (c *Cmd) questions(ctx context.Context, env *cli.Env, cl *flow.Client, t held, found *infos) error {
	user, err := cl.Userinfo(ctx, t.text)
	if err != nil {
		return noInfos(err)
	}
	if found.token != nil {
		// OpenID Connect Core 5.3.2: what is said of somebody else is not used.
		signed, _ := found.token.body.String("sub")
		if said, _ := user.String("sub"); signed != "" && said != signed {
			return fmt.Errorf("%w: the userinfo endpoint speaks of another subject than the token", errNoInfos)
		}
	}
	if found.user, err = tree(user); err != nil {
		return err
	}
	if c.ClientID == "" {
		return nil
	}
	said, err := cl.Introspect(ctx, t.text)
	if err != nil {
		env.Warn("Error retrieving token introspection info: %v", err)
		return nil
	}
	found.introspection, err = tree(said)
	return err
}

func noInfos(err error) error {
	err = fmt.Errorf("%w: %w", errNoInfos, err)
	if flow.Temporary(err) {
		return cli.Fail(cli.Temporary, err, "try again later")
	}
	return err
}

// issuerOf says who is asked: the one who was named, the one the agent has the token from, the one the token names.
func (c *Cmd) issuerOf(jwt *parts, t held) (string, error) {
	given := c.Issuer
	if given == "" {
		given = t.issuer
	}
	if jwt == nil {
		if given == "" {
			err := fmt.Errorf("%w: the token is opaque and does not say who issued it", errNoInfos)
			return "", cli.Fail(cli.Usage, err, "name the issuer with --issuer: it is shown to nobody else")
		}
		return given, nil
	}
	iss, err := jwt.body.String("iss")
	switch {
	case err != nil || iss == "" && given == "":
		return "", errors.New("could not verify JWT: No 'iss' claim in body")
	case given == "":
		return iss, nil
	case iss != "" && strings.TrimSuffix(iss, "/") != strings.TrimSuffix(given, "/"):
		return "", fmt.Errorf("the token is of the issuer %q and not of %s", iss, given)
	}
	return given, nil
}

func (c *Cmd) discover(ctx context.Context, env *cli.Env, hc *httpc.Client, issuer string) (*provider.Metadata, error) {
	if err := provider.CheckIssuer(issuer); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", issuer, err)
	}
	md, note, err := provider.DiscoverTyped(ctx, hc, issuer)
	if err != nil {
		err = fmt.Errorf("look up the issuer %s: %w", issuer, err)
		if httpc.Temporary(err) {
			return nil, cli.Fail(cli.Temporary, err, "try again later")
		}
		return nil, err
	}
	if note != "" {
		env.Warn("%s", note)
	}
	c.debug(env, "Retrieved config for issuer: %s", md.Issuer)
	return md, nil
}

// verify checks a JWT, and with --skip_jwt_verify says that it did not.
func (c *Cmd) verify(
	ctx context.Context, env *cli.Env, hc *httpc.Client, md *provider.Metadata, token []byte, jwt *parts,
) error {
	if jwt == nil {
		return nil
	}
	if c.SkipJWT {
		env.Warn("NOT VERIFIED: what stands in the token may be anybody's invention")
		return nil
	}
	keys, skipped, err := provider.FetchKeys(ctx, hc, md)
	if err != nil {
		return cli.Fail(cli.Temporary, fmt.Errorf("fetch keys of %s: %w", md.Issuer, err), "")
	}
	for _, s := range skipped {
		c.debug(env, "left out: %v", s)
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{URL: md.Issuer, Keys: keys}}, AcceptAnyAudience: true, Now: env.Now,
	})
	if err != nil {
		return err
	}
	if _, err := v.Verify(ctx, token); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("could not verify JWT: %s", verify.Reason(err)),
			"to look at it all the same: --skip_jwt_verify")
	}
	m, err := jose.Parse(token)
	if err != nil {
		return err
	}
	jwt.verified = m.Header.Alg
	return nil
}

func (c *Cmd) caFile(env *cli.Env) string {
	if c.CAFile == "" {
		return ""
	}
	return within(env, c.CAFile)
}
