package mytoken

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Revocation says what to end.
type Revocation struct {
	Token     secret.Text // the mytoken, or a transfer code; with MOMID the one that may do it
	MOMID     string      // another mytoken of the same person
	Recursive bool        // and all that was made from it; else these go on by themselves
	Issuer    string      // of the provider; "" = not compared
}

// Revoke ends a mytoken. One that is unknown or ended already is a success. The update is as in Issued.
func (c *Client) Revoke(ctx context.Context, r Revocation) (*Issued, error) {
	if r.Token.Empty() && c.run == nil {
		return nil, fmt.Errorf("revoke: %w: it is empty", ErrToken)
	}
	q := call{
		op: "revoke", endpoint: "revocation_endpoint", target: c.server.RevocationEndpoint,
		secrets: []secret.Text{r.Token}, repeat: r.MOMID == "", ssh: sshCall{action: SSHRevoke},
	}
	q.body.secret("token", r.Token)
	q.body.text("mom_id", r.MOMID)
	q.body.flag("recursive", r.Recursive)
	q.body.text("oidc_issuer", r.Issuer)
	a, salvaged, err := c.do(ctx, q)
	if err != nil {
		return updateOf(salvaged), err
	}
	return readUpdate(a), nil
}
