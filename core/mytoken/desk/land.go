package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// LandIn takes the redirect of a browser that comes back from the provider, with the binding that Accept or Begin gave
// to it. An error has the status of the page that the person sees. Whoever polls for the mytoken is told as well.
//
// A login that began on the consent page ends in the browser that showed it: who agrees to his own request and sends
// somebody else the provider's URL would get that person's mytoken else.
func (d *Desk) LandIn(ctx context.Context, in Arrival) (Landing, error) {
	l, p, err := d.landIn(ctx, in)
	d.audit(ctx, AuditEvent{Action: "login", User: p.user, MOMID: p.momID, Provider: p.issuer, From: in.From}, err)
	return l, err
}

// landed names what a login was about, as far as it got.
type landed struct{ user, momID, issuer string }

func (d *Desk) landIn(ctx context.Context, in Arrival) (Landing, landed, error) {
	state := secret.FromString(one(in.Query, "state"))
	defer state.Wipe()
	a, leave, err := d.returned(ctx, state, in.Binding)
	if err != nil {
		return Landing{}, landed{}, err
	}
	about := landed{issuer: a.Issuer}
	consent := secret.FromString(leave.Consent)
	defer consent.Wipe()
	c, err := d.o.Ledger.TakeCode(ctx, ledger.ConsentCode, consent)
	c.Handle.Key.Wipe()
	defer c.Secret.Wipe()
	if errors.Is(err, ledger.ErrUnknown) {
		return Landing{}, about, badRequest("this login was completed already, was declined, or took too long", err)
	}
	if err != nil {
		return Landing{}, about, err
	}
	// From here on the login ends, one way or the other, also when the browser goes away.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d.o.Limits.Work)
	defer stop()
	n, err := d.authenticate(ctx, a, Finish{
		Query: in.Query, RedirectURI: d.redirectURI(), State: state, Nonce: secret.FromString(leave.Nonce),
		Verifier: secret.FromString(leave.Verifier), From: in.From,
	}, ledger.CodeHandle{Kind: ledger.PollingCode, ID: a.Polling, Key: c.Secret})
	if err != nil {
		if undo := d.fail(ctx, a, err); undo != nil {
			err = errors.Join(err, undo)
		}
		return Landing{}, about, err
	}
	defer n.jwt.Wipe()
	about.user, about.momID = n.user, n.claims.MOMID()
	return d.landing(ctx, a, n), about, nil
}

// one returns a parameter that is there exactly once, else "".
func one(q url.Values, name string) string {
	if len(q[name]) != 1 {
		return ""
	}
	return q[name][0]
}

// returned finds the login that a state belongs to. Another browser than the one that left does not use it up.
func (d *Desk) returned(ctx context.Context, state, binding secret.Text) (*order, departure, error) {
	mismatch := func(err error) error { return badRequest("State mismatched", err) }
	var leave departure
	seen, err := d.o.Ledger.LookCode(ctx, ledger.StateCode, state)
	seen.Handle.Key.Wipe()
	defer seen.Secret.Wipe()
	if errors.Is(err, ledger.ErrUnknown) {
		return nil, leave, mismatch(err)
	}
	if err == nil {
		err = seen.Secret.Use(func(b []byte) error { return json.Unmarshal(b, &leave) })
	}
	if err != nil {
		return nil, leave, fmt.Errorf("read a kept login: %w", err)
	}
	if !leave.boundTo(binding) {
		return nil, leave, mismatch(errors.New("the redirect came in another browser than the login began in"))
	}
	taken, err := d.o.Ledger.TakeCode(ctx, ledger.StateCode, state)
	taken.Handle.Key.Wipe()
	taken.Secret.Wipe()
	if errors.Is(err, ledger.ErrUnknown) {
		return nil, leave, mismatch(err)
	}
	if err != nil {
		return nil, leave, err
	}
	a, err := readOrder(taken.Data)
	return a, leave, err
}

// authenticate exchanges the redirect for a login, and makes the mytoken from it for who waits for it.
func (d *Desk) authenticate(ctx context.Context, a *order, f Finish, waits ledger.CodeHandle) (*minted, error) {
	p, err := d.provider(a.Issuer)
	if err != nil {
		return nil, err
	}
	f.Scopes, f.Audience = union(a.Restrictions, p.Info())
	auth, err := p.Finish(ctx, f)
	defer auth.Refresh.Wipe()
	if err != nil {
		return nil, providerError(err)
	}
	return d.found(ctx, founding{a, p, auth, waits})
}

// landing is where the browser goes on: with the mytoken, where nobody polls for it.
func (d *Desk) landing(ctx context.Context, a *order, n *minted) Landing {
	l := Landing{Native: !a.Web, Application: a.Application, Purpose: a.Purpose.Kind}
	if !a.Web {
		l.To = nativePath("/native", a.Application)
		return l
	}
	i := d.issued(n.jwt.Clone(), n.claims)
	if err := d.reshape(ctx, i, d.formOf(a.ResponseType, a.MaxLen, i.Token)); err != nil {
		d.o.Log.WarnContext(ctx, "a mytoken is answered with as a JWT", "err", err)
	}
	l.To, l.Session = a.RedirectURI, i
	return l
}

// fail tells the one who polls that there will be no mytoken.
func (d *Desk) fail(ctx context.Context, a *order, why error) error {
	if a.Polling == "" {
		return nil
	}
	err := d.editPolling(ctx, ledger.CodeHandle{Kind: ledger.PollingCode, ID: a.Polling}, secret.Text{},
		func(r *pollRecord) { r.failed(why) })
	if errors.Is(err, ledger.ErrUnknown) {
		return nil // it is over, and nobody waits
	}
	return err
}
