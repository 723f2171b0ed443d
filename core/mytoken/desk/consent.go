package desk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Asked returns what waits under a consent code. An unknown code, and one that is over or was used, is 404.
func (d *Desk) Asked(ctx context.Context, code secret.Text) (Asked, error) {
	a, key, err := d.consent(ctx, code)
	if err != nil {
		return Asked{}, err
	}
	key.Wipe()
	return Asked{
		Application: a.Application, Name: a.Name, Issuer: a.Issuer, Providers: d.Providers(), Capabilities: a.Capabilities,
		Restrictions: a.Restrictions, Rotation: a.Rotation, ResponseType: a.ResponseType, Bound: a.Key != "", Web: a.Web,
		RedirectURI: a.RedirectURI, Purpose: a.Purpose.Kind, From: a.From, Created: a.Created, Expires: a.Until,
	}, nil
}

// consent reads what lies under a consent code, and the key of its polling code, which the caller wipes.
func (d *Desk) consent(ctx context.Context, code secret.Text) (*order, secret.Text, error) {
	c, err := d.o.Ledger.LookCode(ctx, ledger.ConsentCode, code)
	c.Handle.Key.Wipe()
	if err != nil {
		return nil, secret.Text{}, consentError(err)
	}
	a, err := readOrder(c.Data)
	return a, c.Secret, err
}

func consentError(err error) error {
	if errors.Is(err, ledger.ErrUnknown) {
		return refuse(http.StatusNotFound, CodeNotFound, "this request is not known here: it was answered, or is over", err)
	}
	return err
}

func readOrder(b []byte) (*order, error) {
	a := new(order)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("read a kept request: %w", err)
	}
	if a.Version != orderVersion {
		return nil, fmt.Errorf("read a kept request of version %d: %w", a.Version, ledger.ErrRecord)
	}
	return a, nil
}

// Accept agrees to a request: t replaces what was asked for, and is settled as that was. It returns where the browser
// logs in. The request stays until a login has ended, so that a person can go back and say something else.
func (d *Desk) Accept(ctx context.Context, code secret.Text, t Terms, from Origin) (Redirect, error) {
	to, err := d.accept(ctx, code, t, from)
	d.audit(ctx, AuditEvent{Action: "accept", Provider: t.Issuer, From: from}, err)
	return to, err
}

func (d *Desk) accept(ctx context.Context, code secret.Text, t Terms, from Origin) (Redirect, error) {
	a, key, err := d.consent(ctx, code)
	if err != nil {
		return Redirect{}, err
	}
	key.Wipe()
	if err := t.apply(a); err != nil {
		return Redirect{}, err
	}
	if err := d.bound(a); err != nil {
		return Redirect{}, badRequest(cutTo(err.Error(), maxReasons), err)
	}
	p, err := d.provider(a.Issuer)
	if err != nil {
		return Redirect{}, err
	}
	a.Issuer = p.Info().Issuer
	if err := d.settle(a, p, from); err != nil {
		return Redirect{}, err
	}
	if err := d.limitLife(a, p.Info()); err != nil {
		return Redirect{}, err
	}
	return d.depart(ctx, a, code, from)
}

// departure is what belongs to one way to the provider and back. It lies under the state, and opens with that only.
type departure struct {
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	Consent  string `json:"consent"` // the code: whoever takes it first ends the login
	Binding  []byte `json:"binding,omitzero"`
}

// depart sends a browser to the provider. What it comes back with is checked against what lies under the state.
func (d *Desk) depart(ctx context.Context, a *order, code secret.Text, from Origin) (to Redirect, err error) {
	p, err := d.provider(a.Issuer)
	if err != nil {
		return Redirect{}, err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return Redirect{}, fmt.Errorf("keep a login: %w", err)
	}
	leave := departure{Verifier: random(), Nonce: random(), Consent: code.Expose()}
	if !d.elsewhere(a) {
		to.Binding = secret.FromString(random())
		leave.Binding = bindingHash(to.Binding)
	}
	kept, err := json.Marshal(leave)
	if err != nil {
		return Redirect{}, fmt.Errorf("keep a login: %w", err)
	}
	what := secret.New(kept)
	defer what.Wipe()
	// The state may live a little longer than the request: who comes back too late is told so.
	state, err := d.o.Ledger.MakeCode(ctx, ledger.NewCode{
		Kind: ledger.StateCode, TTL: a.Until.Sub(d.now()) + lateFor, Data: data, Secret: what,
	})
	if err != nil {
		return Redirect{}, fmt.Errorf("keep a login: %w", err)
	}
	defer state.Text.Wipe()
	state.Handle.Key.Wipe()
	scopes, audience := union(a.Restrictions, p.Info())
	to.URL, err = p.Start(ctx, Start{
		RedirectURI: d.redirectURI(), State: state.Text, Nonce: secret.FromString(leave.Nonce),
		Verifier: secret.FromString(leave.Verifier), Scopes: scopes, Audience: audience, From: from,
	})
	if err != nil {
		_ = d.o.Ledger.DropCode(ctx, ledger.StateCode, state.Text)
		return Redirect{}, providerError(err)
	}
	return to, nil
}

// elsewhere reports whether a page of another site, which is trusted, has begun the login.
func (d *Desk) elsewhere(a *order) bool {
	if !a.Web || !d.trusts(a.RedirectURI) {
		return false
	}
	there, err := url.Parse(a.RedirectURI)
	own, _ := url.Parse(d.o.Issuer) // New has read it
	return err == nil && (there.Scheme != own.Scheme || there.Host != own.Host)
}

// trusts reports whether a page may log people in without the consent page.
func (d *Desk) trusts(redirectURI string) bool {
	return d.o.Features.Trusted != nil && d.o.Features.Trusted(redirectURI)
}

// random draws 256 bits, as 43 letters: a verifier of PKCE, a nonce, a binding.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func bindingHash(b secret.Text) []byte {
	var h [sha256.Size]byte
	_ = b.Use(func(raw []byte) error { h = sha256.Sum256(raw); return nil })
	return h[:]
}

func (l departure) boundTo(b secret.Text) bool {
	return len(l.Binding) == 0 || subtle.ConstantTimeCompare(l.Binding, bindingHash(b)) == 1
}

// Decline says no to a request. It returns the path the browser goes on to.
func (d *Desk) Decline(ctx context.Context, code secret.Text, from Origin) (string, error) {
	c, err := d.o.Ledger.TakeCode(ctx, ledger.ConsentCode, code)
	defer c.Secret.Wipe()
	c.Handle.Key.Wipe()
	if err != nil {
		return "", consentError(err)
	}
	a, err := readOrder(c.Data)
	if err != nil {
		return "", err
	}
	no := refuse(http.StatusUnauthorized, CodeDenied, "user declined consent", nil)
	d.audit(ctx, AuditEvent{Action: "decline", Provider: a.Issuer, From: from}, no)
	if a.Web {
		return "/", nil
	}
	if err := d.fail(ctx, a, no); err != nil {
		return "", err
	}
	return nativePath("/native/abort", a.Application), nil
}

func nativePath(path, application string) string {
	if application == "" {
		return path
	}
	return path + "?" + url.Values{"application": {application}}.Encode()
}
