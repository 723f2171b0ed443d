package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// lateFor is how long a code is remembered after its end, to say that it has expired rather than that it never was.
const lateFor = 10 * time.Minute

// Begin takes a request for a mytoken by a login (grant_type oidc_flow): its JSON as it came. The mytoken of the caller
// does not matter; the proof of a key does: the new mytoken is bound to it.
//
// A program gets the URI of the consent page and a code to poll with; a web page the URI, or that of the provider where
// the page is trusted; for a device the provider's code comes with the code to poll with.
func (d *Desk) Begin(ctx context.Context, request []byte, c Caller) (Begun, error) {
	return d.BeginFor(ctx, request, c, Purpose{})
}

// BeginFor is Begin for a mytoken that FinishFor fetches, of the same kind of purpose.
func (d *Desk) BeginFor(ctx context.Context, request []byte, c Caller, p Purpose) (Begun, error) {
	a, err := d.parse(request)
	if err == nil {
		a.Purpose = p
		var b Begun
		if b, err = d.begin(ctx, a, c); err == nil {
			d.audit(ctx, AuditEvent{Action: "begin", Provider: a.Issuer, From: c.Origin}, nil)
			return b, nil
		}
	}
	d.audit(ctx, AuditEvent{Action: "begin", From: c.Origin}, err)
	return Begun{}, err
}

func (d *Desk) begin(ctx context.Context, a *order, c Caller) (Begun, error) {
	p, err := d.prepare(a, c)
	if err != nil {
		return Begun{}, err
	}
	a.Created = d.now().UTC()
	a.Until = a.Created.Add(d.o.Limits.Login)
	switch {
	case a.flow == flowDevice:
		return d.beginDevice(ctx, a, p)
	case a.Web && d.trusts(a.RedirectURI):
		return d.beginTrusted(ctx, a)
	}
	b, code, err := d.open(ctx, a)
	if err != nil {
		return Begun{}, err
	}
	defer code.Wipe()
	b.ConsentURI = d.page("/c/" + code.Expose())
	return b, nil
}

// prepare settles what is asked for with a login, and finds the provider.
func (d *Desk) prepare(a *order, c Caller) (Provider, error) {
	if err := d.mayBegin(a); err != nil {
		return nil, err
	}
	p, err := d.provider(a.Issuer)
	if err != nil {
		return nil, err
	}
	a.Issuer, a.From = p.Info().Issuer, c.Origin
	a.From.UserAgent = cutTo(a.From.UserAgent, maxValue)
	if len(a.Capabilities) == 0 {
		a.Capabilities = rules.DefaultCapabilities()
	}
	if err := d.settle(a, p, c.Origin); err != nil {
		return nil, err
	}
	if err := d.limitLife(a, p.Info()); err != nil {
		return nil, err
	}
	if len(a.Capabilities) == 0 {
		return nil, badRequest(rules.ErrNoCapability.Error(), rules.ErrNoCapability)
	}
	return p, d.bind(a, c)
}

// mayBegin says whether the flow is one that is switched on.
func (d *Desk) mayBegin(a *order) error {
	f := d.o.Features
	switch a.flow {
	case "", flowCode:
		a.flow = flowCode
	case flowDevice, flowDeviceLong:
		a.flow = flowDevice
	default:
		return badRequest(fmt.Sprintf("value '%s' not valid for OIDCFlow", cutTo(a.flow, 64)), nil)
	}
	on := f.Polling
	switch {
	case a.flow == flowDevice:
		on = f.Device
	case a.Web:
		on = f.Web
	}
	if !on {
		return refuse(http.StatusBadRequest, CodeGrant, "Unsupported oidc_flow", nil)
	}
	if a.Web && a.flow == flowCode {
		return d.webURI(a.RedirectURI)
	}
	a.Web, a.RedirectURI = false, ""
	return nil
}

func (d *Desk) provider(issuer string) (Provider, error) {
	if issuer == "" {
		return nil, badRequest("required parameter 'oidc_issuer' is missing", nil)
	}
	p, ok := d.o.Upstream.Provider(issuer)
	if !ok {
		return nil, badRequest("The provided issuer is not supported", nil)
	}
	return p, nil
}

// bind finds the key that the new mytoken is bound to: the one a proof is made with, or one that the request names.
func (d *Desk) bind(a *order, c Caller) error {
	if d.o.DPoP == nil {
		if a.Key != "" {
			return badRequest("this server binds no tokens to keys", nil)
		}
		return nil
	}
	if c.Proof == nil || len(c.Proof.Headers) == 0 {
		return nil
	}
	key, err := d.o.DPoP.Prove(c.Proof.Headers, c.Proof.Method, c.Proof.URL)
	if err != nil {
		return d.proofError(err)
	}
	if a.Key != "" && a.Key != key {
		return refuse(http.StatusBadRequest, CodeProof, "dpop_jkt names another key than that of the DPoP proof", nil)
	}
	a.Key = key
	return nil
}

// open keeps a request under a consent code, and makes the code to poll with. The consent code is the caller's.
func (d *Desk) open(ctx context.Context, a *order) (Begun, secret.Text, error) {
	b := Begun{Expires: a.Until, Interval: d.o.Limits.Interval}
	var key secret.Text
	if !a.Web {
		polling, err := d.makePolling(ctx, a, pollRecord{State: statePending}, secret.Text{})
		if err != nil {
			return Begun{}, secret.Text{}, err
		}
		a.Polling, key, b.PollingCode = polling.Handle.ID, polling.Handle.Key, polling.Text
		defer key.Wipe()
	}
	data, err := json.Marshal(a)
	if err != nil {
		return Begun{}, secret.Text{}, fmt.Errorf("keep a request: %w", err)
	}
	consent, err := d.o.Ledger.MakeCode(ctx, ledger.NewCode{
		Kind: ledger.ConsentCode, TTL: d.o.Limits.Login, Data: data, Secret: key,
	})
	if err != nil {
		b.PollingCode.Wipe()
		return Begun{}, secret.Text{}, fmt.Errorf("keep a request: %w", err)
	}
	consent.Handle.Key.Wipe()
	return b, consent.Text, nil
}

// makePolling makes the code that the mytoken will lie under.
func (d *Desk) makePolling(ctx context.Context, a *order, r pollRecord, what secret.Text) (ledger.Code, error) {
	r.Version, r.Until, r.Kind = orderVersion, a.Until, a.Purpose.Kind
	data, err := json.Marshal(r)
	if err != nil {
		return ledger.Code{}, fmt.Errorf("make a polling code: %w", err)
	}
	return d.o.Ledger.MakeCode(ctx, ledger.NewCode{
		Kind: ledger.PollingCode, Length: d.o.Limits.PollingLen, TTL: a.Until.Sub(d.now()) + lateFor, Data: data,
		Secret: what,
	})
}

// beginTrusted sends the browser to the provider without a consent page of ours.
func (d *Desk) beginTrusted(ctx context.Context, a *order) (Begun, error) {
	b, code, err := d.open(ctx, a)
	if err != nil {
		return Begun{}, err
	}
	defer code.Wipe()
	to, err := d.depart(ctx, a, code, a.From)
	if err != nil {
		return Begun{}, err
	}
	b.AuthorizationURI, b.Binding = to.URL, to.Binding
	return b, nil
}

// Terms reads what a consent page posts: the JSON of the terms, with templates by name expanded.
func (d *Desk) Terms(body []byte) (Terms, error) {
	a, err := d.parse(body)
	if err != nil {
		return Terms{}, err
	}
	return Terms{
		Issuer: a.Issuer, Name: a.Name, Capabilities: a.Capabilities, Restrictions: a.Restrictions, Rotation: a.Rotation,
	}, nil
}

// apply puts terms in the place of what was asked for.
func (t Terms) apply(a *order) error {
	for _, c := range rules.SettleCapabilities(t.Capabilities) {
		if !rules.Known(c) {
			return badRequest(fmt.Sprintf("unknown capability '%s'", cutTo(c, 64)), nil)
		}
	}
	if len(t.Capabilities) == 0 {
		return badRequest(rules.ErrNoCapability.Error(), rules.ErrNoCapability)
	}
	if t.Issuer != "" && !mytoken.SameIssuer(t.Issuer, a.Issuer) {
		a.Issuer = t.Issuer
	}
	if a.Purpose.Kind != "" && t.Name == "" {
		t.Name = a.Name // says what the mytoken is for
	}
	a.Name, a.Capabilities, a.Restrictions, a.Rotation = t.Name, t.Capabilities, t.Restrictions, t.Rotation
	return nil
}
