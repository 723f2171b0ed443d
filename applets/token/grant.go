package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// typeURN is what RFC 8693 section 3 calls a type of token; what has a colon is taken as it is.
func typeURN(word string) (string, error) {
	switch word {
	case "access_token", "refresh_token", "id_token", "jwt", "saml1", "saml2":
		return "urn:ietf:params:oauth:token-type:" + word, nil
	}
	if word == "" || strings.Contains(word, ":") {
		return word, nil
	}
	return "", cli.Fail(cli.Usage, fmt.Errorf("%q is no type of token", word),
		"types are access_token, refresh_token, id_token, jwt, or a URN")
}

// grant gets a token by exchange or client credentials, with the client of a login in the agent or with one from files.
func (c *Cmd) grant(ctx context.Context, env *cli.Env) (result, error) {
	req, err := c.grantRequest()
	if err != nil {
		return result{}, err
	}
	if c.Exchange {
		if req.Subject, err = c.subject(ctx, env); err != nil {
			return result{}, err
		}
		defer req.Subject.Wipe()
	}
	by, done, err := c.granter(env)
	if err != nil {
		return result{}, err
	}
	defer done()
	g, err := by.Grant(ctx, req)
	if errors.Is(err, control.ErrNoAgent) && start.Instead(ctx, env, proto.ErrNoAgent) {
		g, err = by.Grant(ctx, req)
	}
	if err != nil {
		return result{}, explainControl(err)
	}
	c.noteSaved(env, g)
	r := result{member: "access_token", value: g.Access, issuer: g.Issuer, scope: g.Scope, narrowed: true, saved: g.Saved}
	if !g.Expires.IsZero() {
		r.expires = g.Expires.Unix()
	}
	return r, nil
}

func (c *Cmd) grantRequest() (r control.GrantRequest, err error) {
	r = control.GrantRequest{
		Login: c.Account, Kind: control.GrantCredentials, Scope: c.scope(), Audience: c.Aud, Resource: c.Resource,
		Hint: c.Name, SaveAs: c.SaveAs, Replace: c.Replace,
	}
	if !c.Exchange {
		return r, nil
	}
	r.Kind = control.GrantExchange
	if r.SubjectType, err = typeURN(cmp.Or(c.SubjectType, "access_token")); err != nil {
		return r, err
	}
	r.RequestedType, err = typeURN(c.RequestedType)
	return r, err
}

// subject is the token to exchange: of a file, of a login, or the one that this process would send.
func (c *Cmd) subject(ctx context.Context, env *cli.Env) (secret.Text, error) {
	switch {
	case c.SubjectFile != "":
		return readToken(env, c.SubjectFile)
	case c.SubjectLogin != "":
		return c.subjectOfLogin(ctx, env)
	}
	t, where, err := bearer.Find(env.Getenv, os.Geteuid())
	switch {
	case errors.Is(err, bearer.ErrNone):
		return t, cli.Fail(cli.NotFound, errors.New("there is no token to exchange"),
			"give --subject-file or --subject-login, or set BEARER_TOKEN_FILE")
	case err != nil:
		return t, cli.Fail(cli.No, err, "give the token to exchange with --subject-file")
	}
	if err := c.belongs(ctx, env, t, where); err != nil {
		t.Wipe()
		return secret.Text{}, err
	}
	env.Note("exchanging the token of %s", where)
	return t, nil
}

// belongs refuses to show a token that nobody has named to another provider than the one it is from: whoever has a token
// can use it.
func (c *Cmd) belongs(ctx context.Context, env *cli.Env, t secret.Text, where string) error {
	in := look(t)
	to := c.provider(ctx, env)
	if !in.jwt || in.Issuer == "" || to == "" || login.SameIssuer(in.Issuer, to) {
		return nil
	}
	return cli.Fail(cli.No, fmt.Errorf("the token of %s is from %s and not from %s", where, in.Issuer, to),
		"if that provider is to have it, name it as a file")
}

// provider is the issuer that the request goes to, "" when that is not known here.
func (c *Cmd) provider(ctx context.Context, env *cli.Env) string {
	if c.ClientID != "" {
		return c.Account
	}
	list, err := control.Client{Path: control.Place(env.Getenv)}.Logins(ctx)
	if err != nil {
		return "" // the request itself will say what is wrong
	}
	for _, l := range list {
		if l.Name == c.Account {
			return l.Issuer
		}
	}
	return ""
}

// subjectOfLogin asks the agent as oidc-token does, so that a login that wants to be confirmed is.
func (c *Cmd) subjectOfLogin(ctx context.Context, env *cli.Env) (secret.Text, error) {
	rep, err := relay.For(env).Call(ctx, proto.Request{
		Type: proto.TypeAccessToken, Account: c.SubjectLogin, Hint: c.Name,
	})
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("get a token of login %s: %w", c.SubjectLogin, proto.Explain(err, env.Upstream))
	}
	defer rep.Wipe()
	return rep.AccessToken.Clone(), nil
}

// readToken reads a token from a file, - for standard input. The name is not repeated: people put the token itself
// there.
func readToken(env *cli.Env, name string) (secret.Text, error) {
	if name != alone {
		t, err := bearer.ReadFile(within(env, name))
		if err == nil && t.Empty() {
			err = errors.New("it is empty")
		}
		if err != nil {
			return secret.Text{}, cli.Fail(cli.No, fmt.Errorf("read the token file: %w", err), "")
		}
		return t, nil
	}
	if cli.IsTerminal(env.Stdin) {
		return secret.Text{}, cli.Fail(cli.Usage, errors.New("no token is given"), "pipe it in or name a file")
	}
	b, err := io.ReadAll(io.LimitReader(env.Stdin, bearer.MaxToken+1<<10))
	defer clear(b)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read the token from standard input: %w", err)
	}
	t, err := bearer.Parse(b)
	if err != nil {
		return secret.Text{}, cli.Fail(cli.No, fmt.Errorf("read the token from standard input: %w", err), "")
	}
	return t, nil
}

func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}

// granter is who makes the request: the agent, or this process with a client from files.
func (c *Cmd) granter(env *cli.Env) (g control.Granter, done func(), err error) {
	if c.ClientID == "" {
		return control.Client{Path: control.Place(env.Getenv)}, func() {}, nil
	}
	d, err := c.direct(env)
	if err != nil {
		return nil, nil, err
	}
	return d, d.close, nil
}

// explainControl gives what the control socket says its exit code.
func explainControl(err error) error {
	if errors.Is(err, control.ErrNoAgent) {
		return cli.Fail(cli.NotFound, err, "start one with: eval $(oidc-agent)")
	}
	return err
}

func (c *Cmd) noteSaved(env *cli.Env, g control.Granted) {
	switch g.Saved {
	case control.SavedKeystore:
		env.Note("login %s is in the keystore; get a fresh token when it is needed with: oidcbox token %s",
			c.SaveAs, c.SaveAs)
	case control.SavedMemory:
		env.Warn("the agent's keystore is not open: login %s ends with the agent", c.SaveAs)
	}
}
