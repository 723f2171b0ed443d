package desk

import (
	"context"
	"errors"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

// EventAccess is the event of an access token.
const EventAccess = "AT_created"

// Access gets an access token from the provider behind a mytoken, which needs the capability AT. One use of a clause is
// reserved before the provider is asked, and counts when the access token is handed out; it is lost where nobody knows
// what the provider did. What the provider gives is compared with what was asked for, and not handed out if it is more
// or less.
func (d *Desk) Access(ctx context.Context, r AccessRequest, c Caller) (Access, error) {
	e := AuditEvent{Action: "access", From: c.Origin}
	b, err := d.admit(ctx, c, rules.AT)
	if err != nil {
		d.audit(ctx, e, err)
		return Access{}, err
	}
	defer b.Close()
	e.User, e.MOMID, e.Provider = b.User, b.MOMID, b.Claims.OIDCIssuer
	a, err := d.access(ctx, b, r, c.Origin)
	d.audit(ctx, e, err)
	return a, err
}

func (d *Desk) access(ctx context.Context, b *bearer, r AccessRequest, from Origin) (Access, error) {
	if err := d.boundAccess(r); err != nil {
		return Access{}, err
	}
	if r.Issuer != "" && !mytoken.SameIssuer(r.Issuer, b.Claims.OIDCIssuer) {
		return Access{}, badRequest("token not for specified issuer", nil)
	}
	p, ok := d.o.Upstream.Provider(b.Claims.OIDCIssuer)
	if !ok {
		return Access{}, badRequest("The provider of this token is not supported any more", nil)
	}
	use := rules.Use{Kind: rules.Access, Client: from.Client, Scopes: r.Scope, Audience: r.Audience}
	// What begins here is finished: a refresh token may be replaced, and the outcome of a use must be known.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d.o.Limits.Work)
	defer stop()
	res, err := d.reserve(ctx, b, use, from)
	if err != nil {
		return Access{}, err
	}
	u := &accessUse{d: d, b: b, p: p, r: res, from: from}
	t, err := u.refresh(ctx)
	if err != nil {
		return Access{}, err
	}
	a, err := u.commit(ctx, t, r)
	if err != nil {
		t.Wipe()
		return Access{}, err
	}
	t.ID.Wipe()
	return a, nil
}

func (d *Desk) boundAccess(r AccessRequest) error {
	for what, list := range map[string][]string{"scope": r.Scope, "audience": r.Audience} {
		if err := boundList(what, list, d.o.Limits.Items); err != nil {
			return badRequest(err.Error(), err)
		}
	}
	if len(r.Issuer) > maxURI {
		return badRequest("oidc_issuer is too long", nil)
	}
	return nil
}

// accessUse is one use of a mytoken for an access token, under way. Each way out of it settles the reservation.
type accessUse struct {
	d       *Desk
	b       *bearer
	p       Provider
	r       *ledger.Reservation
	from    Origin
	granted rules.Granted
}

// refresh asks the provider, and compares what it gives.
func (u *accessUse) refresh(ctx context.Context) (flow.Tokens, error) {
	q, err := u.p.Ask(u.r.Candidate)
	if err != nil {
		u.undo(ctx, "")
		return flow.Tokens{}, providerError(err)
	}
	t, err := u.r.Refresh(ctx, u.p, q)
	if err != nil {
		t.Wipe()
		u.undo(ctx, "the provider gave no access token")
		if errors.Is(err, custody.ErrLoginAgain) {
			u.d.notice(ctx, u.b, Notice{Class: ClassRefresh, From: u.from})
		}
		return flow.Tokens{}, providerError(err)
	}
	if t.Access.Empty() {
		err = flow.ErrAnswer
	} else {
		u.granted, err = u.p.Check(u.r.Candidate, t)
	}
	if err != nil {
		t.Wipe()
		u.undo(ctx, "what the provider gave was not what was asked for")
		return flow.Tokens{}, checkError(err)
	}
	return t, nil
}

// undo gives the use back where the provider was never called, and burns it else.
func (u *accessUse) undo(ctx context.Context, why string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	err := u.r.GiveBack(ctx)
	if errors.Is(err, ledger.ErrCalled) {
		err = u.r.Burn(ctx, why, u.from)
	}
	if err != nil {
		u.d.o.Log.WarnContext(ctx, "a use could not be settled, and counts as unknown when it lapses", "err", err)
	}
}

// checkError says that a provider gave something else than it was asked for.
func checkError(err error) error {
	if errors.Is(err, rules.ErrWithheld) || errors.Is(err, rules.ErrExcess) {
		return refuse(StatusProvider, CodeOIDC, cutTo(err.Error(), maxReasons), err)
	}
	return refuse(StatusProvider, CodeOIDC, "the provider's answer makes no sense", err)
}

// commit counts the use, and hands the access token out.
func (u *accessUse) commit(ctx context.Context, t flow.Tokens, r AccessRequest) (Access, error) {
	d := u.d
	comment := "Used grant_type mytoken"
	if r.Comment != "" {
		comment += ": " + d.cut(r.Comment)
	}
	fresh := d.isNew(ctx, u.b, u.from)
	// The provider's answer may have taken all of the time.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	n, err := u.r.Commit(ctx, ledger.Event{Name: EventAccess, Comment: comment, From: u.from})
	if err != nil {
		if !errors.Is(err, ledger.ErrRevoked) {
			u.undo(ctx, "the access token was not handed out")
		}
		return Access{}, presentError(err)
	}
	u.b.tellUse(ctx, d, fresh, Notice{Class: ClassAccess, Event: EventAccess, Comment: comment, From: u.from})
	a := Access{
		Token: t.Access, Type: t.Type, Expires: t.Expires, Scope: t.Scope, Audience: u.granted.Audience,
		Update: d.update(ctx, n, u.b), Issuer: u.b.Claims.OIDCIssuer, MOMID: u.b.MOMID,
	}
	if a.Scope == "" {
		a.Scope = strings.Join(u.r.Candidate.Scopes, " ")
	}
	return a, nil
}

// tellUse tells of a use, and of the place it came from where that is new.
func (b *bearer) tellUse(ctx context.Context, d *Desk, fresh bool, n Notice) {
	d.notice(ctx, b, n)
	if fresh {
		d.notice(ctx, b, Notice{Class: ClassIPs, From: n.From})
	}
}
