package desk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// The descriptions of refusals by capability and by restriction. The reasons follow the second.
const (
	textCapability = "The provided token does not have the required capability for this operation"
	textRestricted = "The restrictions of this token does not allow this usage"
)

// finishFor is how long a change is waited for that a client does not wait for any more.
const finishFor = 15 * time.Second

// Visit is one request with a mytoken that may make it. It ends with Done, or with Cancel, which is harmless after
// Done.
type Visit struct {
	d    *Desk
	b    *bearer
	r    *ledger.Reservation // nil where nothing is counted
	from Origin
	over bool
}

// Enter lets somebody in with a mytoken that is authentic, has its key proved and the capability that is needed, and
// reserves the use as one that is no access token. The error is a refusal (*Error) or one of the server.
func (d *Desk) Enter(ctx context.Context, c Caller, n Need) (*Visit, error) {
	b, err := d.admit(ctx, c, n.Capability)
	if err != nil {
		return nil, err
	}
	v := &Visit{d: d, b: b, from: c.Origin}
	if n.Free {
		return v, nil
	}
	use := rules.Use{Kind: rules.Other, Client: c.Origin.Client}
	if v.r, err = d.reserve(ctx, b, use, c.Origin); err != nil {
		b.Close()
		return nil, err
	}
	return v, nil
}

// admit presents a mytoken and looks up a capability.
func (d *Desk) admit(ctx context.Context, c Caller, capability string) (*bearer, error) {
	b, err := d.present(ctx, c)
	if err != nil {
		return nil, err
	}
	if capability != "" && !rules.Allows(b.Claims.Capabilities, capability) {
		defer b.Close()
		d.notice(ctx, b, Notice{Class: ClassCapabilities, Comment: capability, From: c.Origin})
		return nil, refuse(http.StatusForbidden, CodeCapabilities, textCapability, nil)
	}
	return b, nil
}

// reserve takes one use.
func (d *Desk) reserve(ctx context.Context, b *bearer, use rules.Use, from Origin) (*ledger.Reservation, error) {
	// A use that is reserved by nobody who knows of it would count until it lapses.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	r, err := b.Reserve(ctx, use, d.o.World)
	if err == nil {
		return r, nil
	}
	var no *rules.RestrictedError
	if !errors.As(err, &no) {
		return nil, presentError(err)
	}
	d.notice(ctx, b, Notice{Class: ClassRestrictions, Comment: d.cut(no.Error()), From: from})
	return nil, refuse(http.StatusForbidden, CodeRestricted, textRestricted+": "+reasons(no.Faults), err)
}

// MOMID names the mytoken of the visit.
func (v *Visit) MOMID() string { return v.b.MOMID }

// User names the person, for the ledger.
func (v *Visit) User() string { return v.b.User }

// Login names the login that the mytoken comes from.
func (v *Visit) Login() string { return v.b.Login }

// Claims are those of the mytoken.
func (v *Visit) Claims() mytoken.Claims { return v.b.Claims }

// Counters are how often the mytoken was used when it was looked up.
func (v *Visit) Counters() rules.Counters { return v.b.Counters }

// Kind is the form in which the mytoken came: mytoken.KindToken or mytoken.KindShortToken.
func (v *Visit) Kind() string { return v.b.kind }

// From is where the request comes from.
func (v *Visit) From() Origin { return v.from }

// Revoke ends the mytoken of the visit ("" for momID), or another of the same person; see ledger.Presented.Revoke.
func (v *Visit) Revoke(ctx context.Context, momID string, recursive bool) (ledger.Revoked, error) {
	return v.b.Revoke(ctx, momID, recursive, v.from)
}

// Done ends a visit that was what it came for: the use counts, the event is written, and the mytoken is replaced where
// it rotates. It returns what it is from now on, nil where it did not change. A free visit only writes its event, and
// without one nothing at all. It is seen through although the client went away.
func (v *Visit) Done(ctx context.Context, event, comment string) (*Issued, error) {
	if v.over {
		return nil, nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	e := ledger.Event{Name: event, Comment: comment, From: v.from}
	if v.r == nil {
		v.over = true
		defer v.b.Close()
		if event == "" {
			return nil, nil
		}
		return nil, v.d.o.Ledger.Note(ctx, v.b.MOMID, e)
	}
	fresh := v.d.isNew(ctx, v.b, v.from)
	n, err := v.r.Commit(ctx, e)
	if err != nil {
		v.Cancel(ctx)
		return nil, presentError(err)
	}
	return v.settled(ctx, n, fresh), nil
}

// settled ends a visit whose use was committed.
func (v *Visit) settled(ctx context.Context, n *ledger.Newest, fresh bool) *Issued {
	v.over = true
	defer v.b.Close()
	if fresh {
		v.d.notice(ctx, v.b, Notice{Class: ClassIPs, From: v.from})
	}
	return v.d.update(ctx, n, v.b)
}

// Cancel ends a visit that came to nothing: its use is given back. It is seen through although the client went away.
func (v *Visit) Cancel(ctx context.Context) {
	if v.over {
		return
	}
	v.over = true
	defer v.b.Close()
	if v.r == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer stop()
	if err := v.r.GiveBack(ctx); err != nil && !errors.Is(err, ledger.ErrSettled) {
		v.d.o.Log.WarnContext(ctx, "a use could not be given back, and counts until it lapses", "err", err)
	}
}

// Notice tells the person behind the visit; MOMID, User, Name, From and At are set here where they are not.
func (v *Visit) Notice(ctx context.Context, n Notice) {
	if !n.From.Client.IsValid() {
		n.From = v.from
	}
	v.d.notice(ctx, v.b, n)
}
