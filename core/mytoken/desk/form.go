package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// issued describes a mytoken that is answered with as a JWT, which is the caller's from now on.
func (d *Desk) issued(jwt secret.Text, c mytoken.Claims) *Issued {
	return &Issued{
		Kind: mytoken.KindToken, Token: jwt, MOMID: c.MOMID(), Expires: c.Expires, Now: d.now(),
		Capabilities: c.Capabilities, Restrictions: c.Restrictions, Rotation: c.Rotation,
	}
}

// replacedFor is how long a short token that was replaced is known: its use is told apart from that of one that never
// was, and ends the mytoken where its rotation says so.
const replacedFor = 24 * time.Hour

// update is what a mytoken that was used is from now on, in the form it was used in; nil where it did not change. A
// mytoken is never lost over its form: where no short one can be made it is the JWT.
func (d *Desk) update(ctx context.Context, n *ledger.Newest, b *bearer) *Issued {
	if n == nil {
		return nil
	}
	i := d.issued(n.JWT, n.Claims)
	if b.kind != mytoken.KindShortToken {
		return i
	}
	err := d.reshape(ctx, i, b.kind)
	if err != nil {
		d.o.Log.WarnContext(ctx, "a replaced mytoken is answered with as a JWT", "err", err)
	}
	// Short tokens go with their mytoken; one that rotates for years would leave a row of each behind.
	err = d.o.Ledger.RetireCode(ctx, ledger.ShortToken, b.text, d.now().Add(replacedFor))
	if err != nil && !errors.Is(err, ledger.ErrUnknown) {
		d.o.Log.WarnContext(ctx, "a short token that was replaced stays with its mytoken", "err", err)
	}
	return i
}

// formOf is the form in which a mytoken is answered with: what was asked for by name, or what fits into a length.
func (d *Desk) formOf(asked string, most int64, jwt secret.Text) string {
	f := d.o.Features
	if most > 0 {
		switch {
		case most >= int64(jwt.Len()):
			return mytoken.KindToken
		case f.Short && most >= int64(d.o.Limits.ShortLen):
			return mytoken.KindShortToken
		case f.Transfer:
			return mytoken.KindTransferCode
		}
		return mytoken.KindToken
	}
	if asked == mytoken.KindShortToken && f.Short || asked == mytoken.KindTransferCode && f.Transfer {
		return asked
	}
	return mytoken.KindToken
}

// reshape gives a mytoken that is a JWT another form. With an error it is what it was.
func (d *Desk) reshape(ctx context.Context, i *Issued, kind string) error {
	switch kind {
	case mytoken.KindShortToken:
		c, err := d.o.Ledger.MakeCode(ctx, ledger.NewCode{
			Kind: ledger.ShortToken, Length: d.o.Limits.ShortLen, Secret: i.Token, Owner: i.MOMID,
		})
		if err != nil {
			return fmt.Errorf("make a short token: %w", err)
		}
		c.Handle.Key.Wipe()
		i.Token.Wipe()
		i.Kind, i.Token = kind, c.Text
	case mytoken.KindTransferCode:
		code, expires, err := d.transferCode(ctx, i.MOMID, parcel{Whole: true}, i.Token)
		if err != nil {
			return err
		}
		i.Token.Wipe()
		i.Kind, i.Token, i.TransferCode, i.Expires = kind, secret.Text{}, code, expires
	}
	return nil
}
