package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

const eventRevokedOther = "revoked_other_token"

// textNotAtProvider stands in the history where a login has ended here only.
const textNotAtProvider = "not revoked at provider"

// Revocation says what to end.
type Revocation struct {
	// MOMID is another mytoken of the same person; "" is the one in hand, or the transfer code.
	MOMID     string
	Recursive bool   // with all that was made from it; else these go on by themselves
	Issuer    string // of the provider; "" = not compared

	about *AuditEvent // filled with what is found out
}

// Revoke ends the mytoken of that mom_id, "" the one in hand.
func (d *Desk) Revoke(ctx context.Context, c Caller, momID string, recursive bool) (*Issued, error) {
	return d.End(ctx, c, Revocation{MOMID: momID, Recursive: recursive})
}

// End ends a mytoken. Whoever has it in hand may do that, its restrictions and its key do not matter; for another one
// of the same person the caller's has to be one it was made from, or allow it, and it is a use that counts. A text that
// is no mytoken, or of one that has ended, is a success. With the last mytoken of a login the login is revoked at the
// provider.
func (d *Desk) End(ctx context.Context, c Caller, r Revocation) (*Issued, error) {
	var (
		update *Issued
		err    error
	)
	r.about = &AuditEvent{Action: "revoke", MOMID: r.MOMID, From: c.Origin}
	switch {
	case r.MOMID != "":
		update, err = d.endOther(ctx, c, r)
	case c.Mytoken.Len() < minToken:
		err = d.endCode(ctx, c, r)
	default:
		err = d.endSelf(ctx, c, r)
	}
	d.audit(ctx, *r.about, err)
	return update, err
}

// endSelf ends the mytoken in hand.
func (d *Desk) endSelf(ctx context.Context, c Caller, r Revocation) error {
	jwt, kind, err := d.unfold(ctx, c.Mytoken)
	var no *Error
	if errors.As(err, &no) && no.Status < http.StatusInternalServerError && no.Status != http.StatusTooManyRequests {
		return nil // it is none, or was ended
	}
	if err != nil {
		return err
	}
	if kind == mytoken.KindShortToken {
		defer jwt.Wipe()
	}
	return d.endJWT(ctx, jwt, c.Origin, r)
}

func (d *Desk) endJWT(ctx context.Context, jwt secret.Text, from Origin, r Revocation) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), revokeFor)
	defer stop()
	p, err := d.o.Ledger.Present(ctx, jwt, from)
	if err != nil {
		return d.endLate(ctx, jwt, r, err)
	}
	defer p.Close()
	r.about.User, r.about.MOMID, r.about.Provider = p.User, p.MOMID, p.Claims.OIDCIssuer
	if r.Issuer != "" && !mytoken.SameIssuer(r.Issuer, p.Claims.OIDCIssuer) {
		return badRequest("token not for specified issuer", nil)
	}
	done, err := p.Revoke(ctx, "", r.Recursive, from)
	if err != nil {
		return endedAlready(err)
	}
	if !done.Already {
		d.notice(ctx, &bearer{Presented: p, kind: mytoken.KindToken}, Notice{
			Class: ClassRevoked, Event: ledger.EventRevoked, From: from,
		})
	}
	return d.afterwards(ctx, done, p.Claims.OIDCIssuer, p.MOMID)
}

// endLate ends a mytoken that cannot be used now, but is an authentic one: what was made from it may be alive.
func (d *Desk) endLate(ctx context.Context, jwt secret.Text, r Revocation, why error) error {
	switch {
	case errors.Is(why, mint.ErrExpired), errors.Is(why, mint.ErrNotYet), errors.Is(why, ledger.ErrStale):
	case errors.Is(why, ledger.ErrInvalid), errors.Is(why, ledger.ErrUnknown), errors.Is(why, ledger.ErrRevoked),
		errors.Is(why, ledger.ErrReplaced), errors.Is(why, ledger.ErrErased):
		return nil
	default:
		return why
	}
	c, err := mytoken.ReadClaims(jwt)
	if err != nil {
		return nil
	}
	r.about.MOMID, r.about.Provider = c.MOMID(), c.OIDCIssuer
	if r.Issuer != "" && !mytoken.SameIssuer(r.Issuer, c.OIDCIssuer) {
		return badRequest("token not for specified issuer", nil)
	}
	done, err := d.o.Ledger.Revoke(ctx, c.MOMID(), r.Recursive, "revoked")
	if err != nil {
		return endedAlready(err)
	}
	return d.afterwards(ctx, done, c.OIDCIssuer, c.MOMID())
}

// endedAlready takes for a success that there was nothing left to end.
func endedAlready(err error) error {
	if errors.Is(err, ledger.ErrUnknown) || errors.Is(err, ledger.ErrErased) {
		return nil
	}
	return err
}

// endCode ends a transfer code, and with it a mytoken that nobody ever had otherwise.
func (d *Desk) endCode(ctx context.Context, c Caller, r Revocation) error {
	code, err := d.o.Ledger.TakeCode(ctx, ledger.TransferCode, c.Mytoken)
	code.Handle.Key.Wipe()
	defer code.Secret.Wipe()
	if errors.Is(err, ledger.ErrUnknown) {
		return nil
	}
	if err != nil {
		return codeError(err)
	}
	var p parcel
	if err := json.Unmarshal(code.Data, &p); err != nil {
		return fmt.Errorf("read a transfer code: %w", ledger.ErrRecord)
	}
	if !p.Whole || p.Taken != nil {
		return nil // somebody has the mytoken
	}
	return d.endSelf(ctx, Caller{Mytoken: code.Secret, Origin: c.Origin}, r)
}

// endOther ends a mytoken by its mom_id.
func (d *Desk) endOther(ctx context.Context, c Caller, r Revocation) (*Issued, error) {
	v, err := d.enter(ctx, c, func(b *bearer) error { return d.mayEnd(ctx, b, r) })
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), revokeFor+finishFor)
	defer stop()
	defer v.Cancel(ctx)
	if r.MOMID == v.MOMID() {
		v.Cancel(ctx)
		return nil, d.endSelf(ctx, c, Revocation{Recursive: r.Recursive, about: r.about})
	}
	// The use is settled first: the mytoken in hand may be one of those that end.
	update, err := v.Done(ctx, eventRevokedOther, "mom_id: "+r.MOMID)
	if err != nil {
		return nil, err
	}
	return update, d.endThat(ctx, c, v, update, r)
}

// endThat ends a mytoken by its mom_id with the newest mytoken of the visit, which opens the login.
func (d *Desk) endThat(ctx context.Context, c Caller, v *Visit, update *Issued, r Revocation) error {
	with := c
	if update != nil {
		with.Mytoken = update.Token
	}
	b, err := d.identify(ctx, with)
	if err != nil {
		return fmt.Errorf("revoke a mytoken of the same person: %w", err)
	}
	defer b.Close()
	done, err := b.Revoke(ctx, r.MOMID, r.Recursive, c.Origin)
	if err != nil {
		return endedAlready(err)
	}
	if !done.Already {
		d.noticeOf(ctx, v.User(), r.MOMID, c.Origin)
	}
	return d.afterwards(ctx, done, b.Claims.OIDCIssuer, r.MOMID)
}

// noticeOf tells that a mytoken was revoked that is not the one in hand.
func (d *Desk) noticeOf(ctx context.Context, user, momID string, from Origin) {
	n := Notice{User: user, MOMID: momID, Class: ClassRevoked, Event: ledger.EventRevoked, From: from}
	if t, err := d.o.Ledger.Find(ctx, momID); err == nil {
		n.Name, n.Expires = t.Name, t.Expires
	}
	d.tell(ctx, n)
}

// mayEnd says whether a mytoken may end another one.
func (d *Desk) mayEnd(ctx context.Context, b *bearer, r Revocation) error {
	r.about.User, r.about.Provider = b.User, b.Claims.OIDCIssuer
	if r.Issuer != "" && !mytoken.SameIssuer(r.Issuer, b.Claims.OIDCIssuer) {
		return badRequest("token not for specified issuer", nil)
	}
	target, err := d.o.Ledger.Find(ctx, r.MOMID)
	switch {
	case errors.Is(err, ledger.ErrUnknown):
		return notYours()
	case err != nil:
		return err
	case target.User != b.User:
		return notYours()
	case target.MOMID == b.MOMID, slices.Contains(target.Path, b.MOMID),
		rules.Allows(b.Claims.Capabilities, rules.Revoke):
		return nil
	}
	return lacking()
}

// afterwards revokes a login at the provider whose last mytoken has ended, where a mytoken in hand opened it. What
// could not be done is written into the history: the login may live on there.
func (d *Desk) afterwards(ctx context.Context, done ledger.Revoked, issuer, momID string) error {
	defer done.Refresh.Wipe()
	if !done.LoginEnded {
		return nil
	}
	why := d.atProvider(ctx, done, issuer)
	if why == nil {
		return d.o.Ledger.RevokedAtProvider(ctx, done.Login)
	}
	d.o.Log.WarnContext(ctx, "a login is not revoked at its provider", "provider", issuer, "login", done.Login, "err", why)
	err := d.o.Ledger.Note(ctx, momID, ledger.Event{Name: ledger.EventRevoked, Comment: textNotAtProvider})
	return endedAlready(err)
}

var (
	errNoRefresh  = errors.New("no mytoken was in hand that opens the login")
	errNoProvider = errors.New("the provider is not configured any more")
)

func (d *Desk) atProvider(ctx context.Context, done ledger.Revoked, issuer string) error {
	if done.Refresh.Empty() {
		return errNoRefresh
	}
	p, ok := d.o.Upstream.Provider(issuer)
	if !ok {
		return errNoProvider
	}
	return p.Revoke(ctx, done.Refresh)
}
