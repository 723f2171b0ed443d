package desk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	// maxDevice bounds how long a device code is polled for, whatever the provider says.
	maxDevice = 30 * time.Minute
	// maxInterval is the longest interval that existing clients can count with.
	maxInterval = 15 * time.Second
	// slower is what slow_down adds to the interval (RFC 8628 section 3.5).
	slower = 5 * time.Second
)

// deviceWait is a device code that waits: the provider is asked when the client asks, and not before Next. The code
// itself lies under the polling code.
type deviceWait struct {
	Order    order         `json:"order"`
	Interval time.Duration `json:"interval"`
	Next     time.Time     `json:"next"`
}

// beginDevice begins a login that the person finishes on another device. There is no consent page of ours: what is
// asked for is what the provider's page is agreed to for.
func (d *Desk) beginDevice(ctx context.Context, a *order, p Provider) (Begun, error) {
	scopes, audience := union(a.Restrictions, p.Info())
	dev, err := p.StartDevice(ctx, Start{Scopes: scopes, Audience: audience, From: a.From})
	defer dev.Code.Wipe()
	if errors.Is(err, ErrNoDevice) || errors.Is(err, flow.ErrNoEndpoint) {
		return Begun{}, badRequest(ErrNoDevice.Error(), err)
	}
	if err != nil {
		return Begun{}, providerError(err)
	}
	now := d.now()
	if a.Until = now.Add(maxDevice); !dev.Expires.IsZero() && dev.Expires.Before(a.Until) {
		a.Until = dev.Expires
	}
	wait := max(dev.Interval, d.o.Limits.Interval)
	c, err := d.makePolling(ctx, a, pollRecord{
		State: stateDevice, Device: &deviceWait{Order: *a, Interval: wait, Next: now},
	}, dev.Code)
	if err != nil {
		return Begun{}, err
	}
	c.Handle.Key.Wipe()
	info := dev.DeviceInfo
	return Begun{
		PollingCode: c.Text, Expires: a.Until, Interval: min(wait, maxInterval), Device: &info,
	}, nil
}

// askDevice asks the provider once, for all who poll at once: one of them marks the time of the next question first.
func (d *Desk) askDevice(ctx context.Context, c *ledger.Code, r *pollRecord, from Origin) (*pollRecord, error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d.o.Limits.Work)
	defer stop()
	pending := refuse(http.StatusPreconditionRequired, CodePending, "", nil)
	if err := d.claimDevice(ctx, c.Handle); err != nil {
		if errors.Is(err, errNotYet) || errors.Is(err, errNotPending) {
			return nil, pending
		}
		return nil, codeError(err)
	}
	a := &r.Device.Order
	p, err := d.provider(a.Issuer)
	if err != nil {
		return nil, err
	}
	scopes, audience := union(a.Restrictions, p.Info())
	auth, err := p.PollDevice(ctx, Device{Code: c.Secret, Expires: r.Until, Scopes: scopes, Audience: audience}, from)
	defer auth.Refresh.Wipe()
	slow := errors.Is(err, ErrSlowDown) || errors.Is(err, flow.ErrSlowDown)
	if slow || errors.Is(err, ErrPending) || errors.Is(err, flow.ErrAuthorizationPending) || flow.Temporary(err) {
		if err := d.postpone(ctx, c.Handle, slow); err != nil {
			return nil, err
		}
		return nil, pending
	}
	if err == nil {
		return d.endDevice(ctx, c, founding{a, p, auth, c.Handle})
	}
	if err = providerError(err); errors.Is(err, flow.ErrExpiredCode) {
		err = refuse(http.StatusUnauthorized, CodeExpired, "polling or transfer code is expired", err)
	}
	return nil, d.endBadly(ctx, c.Handle, err)
}

// endDevice ends the waiting with a mytoken under the code, in the place of the device code.
func (d *Desk) endDevice(ctx context.Context, c *ledger.Code, f founding) (*pollRecord, error) {
	n, err := d.found(ctx, f)
	if err != nil {
		return nil, d.endBadly(ctx, c.Handle, err)
	}
	c.Secret.Wipe()
	c.Secret = n.jwt
	r := new(pollRecord)
	r.made(f.order, n)
	return r, nil
}

// endBadly ends the waiting with a refusal, which is returned.
func (d *Desk) endBadly(ctx context.Context, h ledger.CodeHandle, why error) error {
	err := d.editPolling(ctx, h, secret.Text{}, func(r *pollRecord) { r.failed(why) })
	if err != nil && !errors.Is(err, ledger.ErrUnknown) {
		return errors.Join(why, err)
	}
	return why
}

// errNotYet is returned while the provider must not be asked.
var errNotYet = errors.New("the provider was asked just now")

// claimDevice takes the next question to the provider for this caller alone, for as long as one may take.
func (d *Desk) claimDevice(ctx context.Context, h ledger.CodeHandle) error {
	now := d.now()
	return d.o.Ledger.EditCode(ctx, h, secret.Text{}, func(data []byte) ([]byte, error) {
		r, err := readPolling(data)
		switch {
		case err != nil:
			return nil, err
		case r.State != stateDevice:
			return nil, errNotPending
		case now.Before(r.Device.Next):
			return nil, errNotYet
		}
		r.Device.Next = now.Add(d.o.Limits.Work)
		return json.Marshal(r)
	})
}

// postpone sets the time of the next question.
func (d *Desk) postpone(ctx context.Context, h ledger.CodeHandle, slow bool) error {
	return d.editPolling(ctx, h, secret.Text{}, func(r *pollRecord) {
		if r.Device == nil {
			return
		}
		if slow {
			r.Device.Interval += slower
		}
		// A client that keeps the interval must not come a moment too early, and wait for another one.
		r.Device.Next = d.now().Add(r.Device.Interval - r.Device.Interval/10)
	})
}
