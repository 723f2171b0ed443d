package desk

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// subTries bounds how often a mytoken is made anew because others took from the same allowance meanwhile.
const subTries = 8

// Sub makes a mytoken from the caller's (grant_type mytoken): its JSON as it came. It needs the capability
// create_mytoken and one use that is no access token. What it hands on is taken from the parent in the same change.
//
// Issued.Update is what the parent is from now on, where it was replaced; it is set also where the new mytoken could
// not be given the form that was asked for, and is a JWT.
func (d *Desk) Sub(ctx context.Context, request []byte, c Caller) (*Issued, error) {
	i, v, err := d.sub(ctx, request, c)
	e := AuditEvent{Action: "subtoken", From: c.Origin}
	if v != nil {
		e.User, e.Provider = v.User(), v.Claims().OIDCIssuer
		e.MOMID = v.MOMID()
	}
	d.audit(ctx, e, err)
	return i, err
}

func (d *Desk) sub(ctx context.Context, request []byte, c Caller) (*Issued, *Visit, error) {
	if !d.o.Features.Subtokens {
		return nil, nil, refuse(http.StatusBadRequest, CodeGrant, "Unsupported grant_type", nil)
	}
	a, err := d.parse(request)
	if err != nil {
		return nil, nil, err
	}
	// The use is reserved when nothing else is left to refuse: what is refused writes nothing.
	v, err := d.Enter(ctx, c, Need{Capability: rules.CreateMytoken, Free: true})
	if err != nil {
		return nil, nil, err
	}
	defer v.Cancel(ctx)
	if err := d.prepareSub(a, v, c); err != nil {
		return nil, v, err
	}
	if _, err := d.tighten(a, v, v.Counters()); err != nil {
		return nil, v, err
	}
	if v.r, err = d.reserve(ctx, v.b, rules.Use{Kind: rules.Other, Client: c.Origin.Client}, c.Origin); err != nil {
		return nil, v, err
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d.o.Limits.Work)
	defer stop()
	fresh := d.isNew(ctx, v.b, c.Origin)
	n, newest, err := d.mintSub(ctx, a, v)
	if err != nil {
		return nil, v, err
	}
	d.notice(ctx, v.b, Notice{
		Class: ClassSubtoken, Event: ledger.EventMTCreated, Comment: "Created MT " + a.Name, From: c.Origin,
	})
	d.tagNew(ctx, n, a.Wishes.Tags)
	d.tell(ctx, Notice{
		User: n.user, MOMID: n.claims.MOMID(), Name: n.claims.Name, Class: ClassCreated, Event: ledger.EventCreated,
		From: c.Origin, Expires: n.claims.Expires, Wishes: &a.Wishes, Parent: v.MOMID(),
	})
	i := d.issued(n.jwt, n.claims)
	if err := d.reshape(ctx, i, d.formOf(a.ResponseType, a.MaxLen, i.Token)); err != nil {
		d.o.Log.WarnContext(ctx, "a mytoken is answered with as a JWT", "err", err)
	}
	i.Update = v.settled(ctx, newest, fresh)
	return i, v, nil
}

// prepareSub settles what is asked for, and what does not depend on how often the parent was used.
func (d *Desk) prepareSub(a *order, v *Visit, c Caller) error {
	parent := v.Claims()
	if a.Issuer != "" && !mytoken.SameIssuer(a.Issuer, parent.OIDCIssuer) {
		return badRequest("token not for specified issuer", nil)
	}
	a.Issuer = parent.OIDCIssuer
	p, err := d.provider(a.Issuer)
	if err != nil {
		return err
	}
	asked := rules.SettleCapabilities(a.Capabilities)
	if err := d.settle(a, p, c.Origin); err != nil {
		return err
	}
	kept, _, err := rules.SubCapabilities(parent.Capabilities, asked)
	if err != nil {
		return badRequest(rules.ErrNoCapability.Error(), err)
	}
	a.Capabilities = kept
	return d.bindSub(a, parent.KeyThumbprint, c)
}

// bindSub finds the key of a mytoken that is made from one. One from a bound mytoken is always bound: to the same key,
// or to another that its holder names.
func (d *Desk) bindSub(a *order, parent string, c Caller) error {
	if parent == "" {
		return d.bind(a, c)
	}
	if a.Key == "" {
		a.Key = parent
	}
	return nil
}

// mintSub makes the mytoken inside what is left of its parent. When others take from that at the same time it is made
// anew.
func (d *Desk) mintSub(ctx context.Context, a *order, v *Visit) (*minted, *ledger.Newest, error) {
	for range subTries {
		counters, err := v.b.CountersNow(ctx)
		if err != nil {
			return nil, nil, err
		}
		tight, err := d.tighten(a, v, counters)
		if err != nil {
			return nil, nil, err
		}
		n, newest, err := d.keepSub(ctx, a, v, tight)
		if errors.Is(err, rules.ErrUsedUp) {
			continue
		}
		return n, newest, err
	}
	return nil, nil, tooMany(rules.ErrUsedUp)
}

// tighten keeps what is asked for inside what is left of the parent.
func (d *Desk) tighten(a *order, v *Visit, left rules.Counters) (rules.Tightened, error) {
	tight, err := rules.Tighten(rules.Parent{
		Restrictions: v.Claims().Restrictions, Counters: left, Now: d.now(),
	}, a.Restrictions)
	if err == nil && a.Strict {
		err = tight.Strict()
	}
	if err != nil {
		return tight, tightenError(err)
	}
	if err := boundSize(a.Capabilities, tight.Restrictions); err != nil {
		return tight, badRequest(err.Error(), err)
	}
	return tight, nil
}

func (d *Desk) keepSub(ctx context.Context, a *order, v *Visit, tight rules.Tightened) (
	*minted, *ledger.Newest, error,
) {
	parent := v.Claims()
	jwt, claims, err := d.o.Minter.Issue(mint.Order{
		Name: a.Name, OIDCIssuer: parent.OIDCIssuer, OIDCSubject: parent.OIDCSubject, Capabilities: a.Capabilities,
		Restrictions: tight.Restrictions, Rotation: a.Rotation, AuthTime: parent.AuthTime, KeyThumbprint: a.Key,
		Now: d.now(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make a mytoken: %w", err)
	}
	_, newest, err := v.r.Sub(ctx, ledger.Grant{
		JWT: jwt, Claims: claims, Charges: tight.Charges, From: tight.From,
		Event: ledger.Event{Comment: "Used grant_type mytoken", From: v.from},
	})
	if err != nil {
		jwt.Wipe()
		return nil, nil, subError(err)
	}
	return &minted{jwt, claims, v.User()}, newest, nil
}

func subError(err error) error {
	switch {
	case errors.Is(err, rules.ErrUsedUp):
		return err
	case errors.Is(err, ledger.ErrTooMany):
		return badRequest("the mytoken cannot have another one below it: there are too many above, or clauses", err)
	case errors.Is(err, ledger.ErrNoLogin), errors.Is(err, ledger.ErrErased):
		return badToken("No refresh token attached", err)
	}
	return presentError(err)
}
