package mytoken

import (
	"context"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Subtoken gets a mytoken from mt, which needs the capability create_mytoken. A server that cannot give the
// restrictions asked for refuses instead of giving others. Issued.Update is set when mt was replaced by this.
func (c *Client) Subtoken(ctx context.Context, mt secret.Text, r Request) (Issued, error) {
	const op = "get a mytoken from another"
	if err := c.usable(mt); err != nil {
		return Issued{}, err
	}
	if r.Application == "" {
		r.Application = c.opt.Application
	}
	q := call{
		op: op, endpoint: "mytoken_endpoint", target: c.server.MytokenEndpoint, secrets: []secret.Text{mt},
		ssh: sshCall{action: SSHMytoken},
	}
	q.body.put("grant_type", grantMytoken)
	q.body.secret("mytoken", mt)
	q.body.put("error_on_restrictions", true)
	r.write(&q.body)
	a, salvaged, err := c.do(ctx, q)
	if err == nil && !a.Has("mytoken") && !a.Has("transfer_code") {
		return Issued{Update: readUpdate(a)}, c.bad(op, ErrAnswer)
	}
	return c.issued(op, a, salvaged, err)
}

// Transfer is a code that another device redeems for a mytoken.
type Transfer struct {
	Code    secret.Text
	Expires time.Time // zero: the server does not say
}

// Transfer makes a transfer code for mt.
func (c *Client) Transfer(ctx context.Context, mt secret.Text) (Transfer, error) {
	const op = "make a transfer code"
	if err := c.usable(mt); err != nil {
		return Transfer{}, err
	}
	q := call{op: op, endpoint: "token_transfer_endpoint", target: c.server.TransferEndpoint, secrets: []secret.Text{mt}}
	q.body.secret("mytoken", mt)
	a, _, err := c.do(ctx, q)
	if err != nil {
		return Transfer{}, err
	}
	code, err := a.String("transfer_code")
	if err != nil || code == "" {
		return Transfer{}, c.bad(op, ErrAnswer)
	}
	t := Transfer{Code: secret.FromString(code)}
	if n, ok, _ := a.Int("expires_in"); ok && n > 0 {
		t.Expires = a.asked.Add(secondsOf(n))
	}
	return t, nil
}
