package token

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// revoke ends a login's refresh token, or a token that is given, and says what the provider says of it afterwards.
func (c *Cmd) revoke(ctx context.Context, env *cli.Env) error {
	req := control.RevokeRequest{Login: c.Account}
	token, where, err := c.condemned(ctx, env)
	if err != nil {
		return err
	}
	defer token.Wipe()
	req.Token = token
	by, done, err := c.granter(env)
	if err != nil {
		return err
	}
	defer done()
	if req.Login == "" {
		if req.Login, err = loginFor(ctx, env, req); err != nil {
			return err
		}
	}
	out, err := by.Revoke(ctx, req)
	if errors.Is(err, control.ErrNoAgent) && start.Instead(ctx, env, proto.ErrNoAgent) {
		out, err = by.Revoke(ctx, req)
	}
	if err != nil {
		return explainControl(err)
	}
	if err := c.reportRevoked(env, req, out); err != nil || where == "" || where == bearer.EnvToken {
		return err
	}
	return bearer.Remove(where, token)
}

// condemned is the token to revoke, and where it was found: that of --token-file, else the one that this process would
// send. It is empty when a login is named.
func (c *Cmd) condemned(ctx context.Context, env *cli.Env) (t secret.Text, where string, err error) {
	switch {
	case c.TokenFile != "":
		t, err = readToken(env, c.TokenFile)
		return t, "", err
	case c.Account != "" && c.ClientID == "":
		return t, "", nil
	}
	t, where, err = bearer.Find(env.Getenv, os.Geteuid())
	switch {
	case errors.Is(err, bearer.ErrNone):
		return t, "", cli.Fail(cli.NotFound, errors.New("there is no token to revoke"), "name a login, or give --token-file")
	case err != nil:
		return t, "", cli.Fail(cli.No, err, "name a login, or give --token-file")
	}
	if c.Account != "" {
		if err := c.belongs(ctx, env, t, where); err != nil {
			t.Wipe()
			return secret.Text{}, "", err
		}
	}
	env.Note("revoking the token of %s", where)
	return t, where, nil
}

// loginFor finds the login whose client got a token, by what is in the token. That nobody has checked it does no harm:
// it only chooses among the person's own logins, and their providers.
func loginFor(ctx context.Context, env *cli.Env, req control.RevokeRequest) (string, error) {
	in := look(req.Token)
	if !in.jwt || in.Issuer == "" {
		return "", cli.Fail(cli.Usage, errors.New("the token does not say where it is from"),
			"name the login that it is of: oidcbox token --revoke --token-file - LOGIN")
	}
	list, err := control.Client{Path: control.Place(env.Getenv)}.Logins(ctx)
	if err != nil {
		return "", explainControl(err)
	}
	list = slices.DeleteFunc(list, func(l control.Login) bool { return !login.SameIssuer(l.Issuer, in.Issuer) })
	if len(list) == 0 {
		return "", cli.Fail(cli.NotFound, fmt.Errorf("there is no login at %s, where the token is from", in.Issuer),
			"give a client with --client-id and --client-secret-file, and the issuer")
	}
	client := cmp.Or(in.ClientID, in.Party)
	if i := slices.IndexFunc(list, func(l control.Login) bool { return l.ClientID == client }); i > 0 {
		return list[i].Name, nil
	}
	return list[0].Name, nil
}

func (c *Cmd) reportRevoked(env *cli.Env, req control.RevokeRequest, out control.Revoked) error {
	what := "the token"
	if req.Token.Empty() {
		what = "login " + out.Login
	}
	if c.JSON {
		if err := printJSON(env.Stdout, out); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(env.Stdout, cli.Printable(sayRevoked(what, out))); err != nil {
		return err
	}
	if out.Confirmed == control.ConfirmedActive {
		return cli.Fail(cli.No, fmt.Errorf("%s is still active at %s", what, out.Issuer),
			"withdraw your consent on the provider's pages")
	}
	return nil
}

// sayRevoked is the result for a person.
func sayRevoked(what string, out control.Revoked) string {
	if out.Nothing {
		return what + " has no refresh token; there is nothing to revoke"
	}
	said := what + " is revoked at " + out.Issuer
	switch out.Confirmed {
	case control.ConfirmedInactive:
		return said + "; the provider confirms that it is not active"
	case control.ConfirmedActive:
		return what + " was sent to " + out.Issuer + " to be revoked, which had no effect: it is active"
	case control.ConfirmedNotOffered:
		return said + "; the provider offers no way to confirm it"
	}
	return said + "; the provider did not say whether it is active"
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
