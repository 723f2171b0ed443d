package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Events of transfer codes.
const (
	EventTransferMade = "transfer_code_created"
	EventTransferUsed = "transfer_code_used"
)

// parcel is what the server knows of a transfer code. The mytoken, in the form it had, opens with the code only.
type parcel struct {
	Version int       `json:"v"`
	Until   time.Time `json:"until"`
	// Whole says that the code was answered with in the place of a new mytoken: nobody else has that.
	Whole bool    `json:"whole,omitzero"`
	Taken *taking `json:"taken,omitzero"`
}

// transferCode makes a code under which a mytoken lies for a short time.
func (d *Desk) transferCode(ctx context.Context, momID string, p parcel, token secret.Text) (
	code secret.Text, until time.Time, err error,
) {
	p.Version, p.Until = orderVersion, d.now().UTC().Add(d.o.Limits.Transfer)
	data, err := json.Marshal(p)
	if err != nil {
		return code, until, fmt.Errorf("make a transfer code: %w", err)
	}
	c, err := d.o.Ledger.MakeCode(ctx, ledger.NewCode{
		Kind: ledger.TransferCode, Length: d.o.Limits.TransferLen, TTL: d.o.Limits.Transfer + lateFor, Data: data,
		Secret: token, Owner: momID,
	})
	if err != nil {
		return code, until, fmt.Errorf("make a transfer code: %w", err)
	}
	c.Handle.Key.Wipe()
	return c.Text, p.Until, nil
}

// Transfer makes a transfer code for the mytoken of the caller. It needs no capability, and counts nothing.
func (d *Desk) Transfer(ctx context.Context, c Caller) (*Issued, error) {
	e := AuditEvent{Action: "transfer", From: c.Origin}
	i, err := d.transfer(ctx, c, &e)
	d.audit(ctx, e, err)
	return i, err
}

func momIDOf(i *Issued) string {
	if i == nil {
		return ""
	}
	return i.MOMID
}

func (d *Desk) transfer(ctx context.Context, c Caller, e *AuditEvent) (*Issued, error) {
	if !d.o.Features.Transfer {
		return nil, refuse(http.StatusNotFound, CodeNotFound, "there are no transfer codes here", nil)
	}
	v, err := d.Enter(ctx, c, Need{Free: true})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	e.User, e.MOMID, e.Provider = v.User(), v.MOMID(), v.Claims().OIDCIssuer
	code, until, err := d.transferCode(ctx, v.MOMID(), parcel{}, c.Mytoken)
	if err != nil {
		return nil, err
	}
	i := &Issued{Kind: mytoken.KindTransferCode, TransferCode: code, MOMID: v.MOMID(), Expires: until, Now: d.now()}
	if _, err := v.Done(ctx, EventTransferMade, "token type: "+v.Kind()); err != nil {
		i.Wipe()
		return nil, err
	}
	return i, nil
}

// Redeem gives the mytoken that a transfer code stands for (grant_type transfer_code), in the form it had. A code is
// good once; should the answer be lost, the same client gets it again for Limits.Replay.
func (d *Desk) Redeem(ctx context.Context, code secret.Text, from Origin) (*Issued, error) {
	i, err := d.redeem(ctx, code, from)
	d.audit(ctx, AuditEvent{Action: "redeem", MOMID: momIDOf(i), From: from}, err)
	return i, err
}

func (d *Desk) redeem(ctx context.Context, code secret.Text, from Origin) (*Issued, error) {
	c, err := d.o.Ledger.LookCode(ctx, ledger.TransferCode, code)
	defer c.Handle.Key.Wipe()
	if err != nil {
		return nil, codeError(err)
	}
	i, err := d.unpack(ctx, c)
	if err == nil {
		err = d.takeParcel(ctx, c.Handle, from)
	}
	if err == nil {
		err = d.o.Ledger.Note(context.WithoutCancel(ctx), c.Owner, ledger.Event{Name: EventTransferUsed, From: from})
	}
	if err != nil {
		c.Secret.Wipe()
		return nil, codeError(err)
	}
	return i, nil
}

// unpack describes the mytoken under a code, if it can still be used. It is not presented: a code that is too old must
// not count as reuse of a mytoken.
func (d *Desk) unpack(ctx context.Context, c ledger.Code) (*Issued, error) {
	jwt, kind, err := d.unfold(ctx, c.Secret)
	if err != nil {
		return nil, err
	}
	if kind == mytoken.KindShortToken {
		defer jwt.Wipe()
	}
	claims, err := mytoken.ReadClaims(jwt)
	if err != nil {
		return nil, fmt.Errorf("read a mytoken that was made here: %w", err)
	}
	t, err := d.o.Ledger.Find(ctx, claims.MOMID())
	switch {
	case err != nil:
		return nil, codeError(err)
	case t.Condition != ledger.Live:
		return nil, badToken("", nil)
	case t.SeqNo != claims.SeqNo:
		return nil, badToken("token was replaced by a newer one", nil)
	}
	i := d.issued(c.Secret, claims)
	i.Kind, i.Rotation = kind, nil
	return i, nil
}

// takeParcel notes that a code was used.
func (d *Desk) takeParcel(ctx context.Context, h ledger.CodeHandle, from Origin) error {
	now := d.now().UTC()
	over := refuse(http.StatusUnauthorized, CodeExpired, "polling or transfer code is expired", nil)
	return d.o.Ledger.EditCode(ctx, h, secret.Text{}, func(data []byte) ([]byte, error) {
		var p parcel
		if err := json.Unmarshal(data, &p); err != nil || p.Version != orderVersion {
			return nil, fmt.Errorf("read a transfer code: %w", ledger.ErrRecord)
		}
		switch {
		case p.Taken == nil && !now.Before(p.Until):
			return nil, over
		case p.Taken == nil:
			p.Taken = &taking{At: now, By: addressOf(from)}
		case !p.Taken.again(now, from, d.o.Limits.Replay):
			return nil, badToken(textCode, errors.New("the code was used already"))
		}
		return json.Marshal(p)
	})
}
