package mytoken

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// AccessRequest narrows an access token. The zero value asks for what the mytoken has.
type AccessRequest struct {
	Issuer   string // of the provider; "" = that of the mytoken
	Scope    []string
	Audience []string
	Comment  string // kept by the server in the history of the mytoken
}

// Access is an access token of the provider behind the server.
type Access struct {
	Token    secret.Text
	Type     string
	Expires  time.Time // zero: not said
	Scope    string    // as granted; "" when the server does not say
	Audience []string
	Update   *Issued // as in Issued
}

// Wipe clears the secrets.
func (a Access) Wipe() {
	a.Token.Wipe()
	a.Update.forget()
}

// AccessToken gets an access token for mt, which needs the capability AT.
func (c *Client) AccessToken(ctx context.Context, mt secret.Text, r AccessRequest) (Access, error) {
	if err := c.usable(mt); err != nil {
		return Access{}, err
	}
	q := call{
		op: "access token", endpoint: "access_token_endpoint", target: c.server.AccessTokenEndpoint,
		secrets: []secret.Text{mt}, ssh: sshCall{action: SSHAccessToken},
	}
	q.body.put("grant_type", grantMytoken)
	q.body.secret("mytoken", mt)
	q.body.text("oidc_issuer", r.Issuer)
	q.body.text("scope", strings.Join(r.Scope, " "))
	q.body.text("audience", strings.Join(r.Audience, " ")) // a string here, an array everywhere else
	q.body.text("comment", r.Comment)
	a, salvaged, err := c.do(ctx, q)
	return c.access(q.op, a, salvaged, err)
}

func (c *Client) access(op string, a answer, salvaged secret.Text, err error) (Access, error) {
	if err != nil {
		return Access{Update: updateOf(salvaged)}, err
	}
	out := Access{Update: readUpdate(a)}
	if out.Update == nil {
		// Clients that know refresh tokens only find a replaced mytoken under these names.
		for _, name := range []string{"mytoken", "refresh_token"} {
			if s, _ := a.String(name); s != "" && out.Update == nil {
				out.Update = updateOf(secret.FromString(s))
			}
		}
	}
	at, err := a.String("access_token")
	if err == nil && at == "" {
		err = fmt.Errorf("%w: no access token in it", ErrAnswer)
	}
	if err == nil && strings.ContainsFunc(at, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = fmt.Errorf("%w: the access token has characters that no header can carry", ErrAnswer)
	}
	if kind, _ := a.String("token_type"); err == nil && kind != "" && !strings.EqualFold(kind, "bearer") {
		err = fmt.Errorf("%w: token_type is %q", flow.ErrTokenType, cleanCode(kind))
	}
	if err != nil {
		return Access{Update: out.Update}, c.bad(op, err)
	}
	out.Token, out.Type = secret.FromString(at), "Bearer"
	if n, ok, _ := a.Int("expires_in"); ok {
		out.Expires = a.asked.Add(secondsOf(n))
	}
	out.Scope, _ = a.String("scope")
	out.Audience, _ = a.OneOrMore("audience")
	return out, nil
}

// Refresh gets an access token with the mytoken in the place of a refresh token, at the token_endpoint and as a form:
// what every server takes, and what core/oidc/custody keeps a mytoken with. Tokens.Refresh is the mytoken that replaces
// rt; it may be set beside an error, and is handed to r.Keep before anything else is done. Client authentication does
// not exist at a mytoken server.
func (c *Client) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	if err := c.usable(rt); err != nil {
		return flow.Tokens{}, err
	}
	q := call{
		op: "refresh", endpoint: "token_endpoint", target: c.server.TokenEndpoint, secrets: []secret.Text{rt},
		form: url.Values{"grant_type": {"refresh_token"}, "refresh_token": {rt.Expose()}},
	}
	if q.target == "" {
		q.target = c.server.AccessTokenEndpoint
	}
	if len(r.Scope) > 0 {
		q.form.Set("scope", strings.Join(r.Scope, " "))
	}
	if len(r.Audience) > 0 {
		q.form.Set("audience", strings.Join(r.Audience, " "))
	}
	a, salvaged, err := c.do(ctx, q)
	got, err := c.access(q.op, a, salvaged, err)
	t := flow.Tokens{Access: got.Token, Type: got.Type, Expires: got.Expires, Scope: got.Scope}
	t.Refresh = Kept(got.Update, r)
	return t, err
}

// Kept hands the mytoken of an update to the one who keeps it, and returns it; empty where there is none.
func Kept(update *Issued, r flow.Request) secret.Text {
	if update == nil || update.Token.Empty() {
		return secret.Text{}
	}
	if r.Keep != nil {
		r.Keep(update.Token)
	}
	return update.Token
}
