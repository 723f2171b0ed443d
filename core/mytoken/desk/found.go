package desk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/profiles"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// minted is a mytoken with what it says.
type minted struct {
	jwt    secret.Text
	claims mytoken.Claims
	user   string
}

// founding is a login that took place, and who waits for its mytoken.
type founding struct {
	order *order
	p     Provider
	auth  Authenticated
	waits ledger.CodeHandle // of the polling code; without an ID nobody polls
}

// found makes and keeps the first mytoken of a login that took place. Where that fails, the refresh token is of no use
// to anybody, and is revoked at the provider.
func (d *Desk) found(ctx context.Context, f founding) (*minted, error) {
	n, err := d.mintFirst(f.order, f.p.Info(), f.auth)
	if err == nil {
		err = d.keepFirst(ctx, f, n)
	}
	if err != nil {
		d.abandon(ctx, f.p, f.auth.Refresh)
		return nil, err
	}
	d.tagNew(ctx, n, f.order.Wishes.Tags)
	d.tell(ctx, Notice{
		User: n.user, MOMID: n.claims.MOMID(), Name: n.claims.Name, Class: ClassCreated, Event: ledger.EventCreated,
		From: f.order.From, Expires: n.claims.Expires, Wishes: &f.order.Wishes, Email: f.auth.Email,
		EmailVerified: f.auth.Verified,
	})
	return n, nil
}

// keepFirst keeps a login with its mytoken. The mytoken lies under the polling code before it is one: a process that
// dies in between leaves a text there that is worth nothing, and never a mytoken that nobody has.
func (d *Desk) keepFirst(ctx context.Context, f founding, n *minted) error {
	var err error
	if f.waits.ID != "" {
		err = d.editPolling(ctx, f.waits, n.jwt, func(r *pollRecord) { r.made(f.order, n) })
	}
	if errors.Is(err, ledger.ErrUnknown) {
		err = refuse(http.StatusBadRequest, CodeExpired, "nobody waits for this login any more", err)
	}
	if err == nil {
		comment := "Used grant_type oidc_flow authorization_code"
		if f.order.Polling == "" && !f.order.Web {
			comment = "Used grant_type oidc_flow device"
		}
		_, err = d.o.Ledger.Begin(ctx, ledger.Login{Refresh: f.auth.Refresh, Habit: f.auth.Habit},
			ledger.Grant{JWT: n.jwt, Claims: n.claims, Event: ledger.Event{Comment: comment, From: f.order.From}})
	}
	if errors.Is(err, ledger.ErrErased) {
		err = refuse(http.StatusForbidden, CodeDenied, ledger.ErrErased.Error(), err)
	}
	if err != nil {
		n.jwt.Wipe()
	}
	return err
}

// revokeFor bounds a revocation that nobody waits for.
const revokeFor = 20 * time.Second

// abandon revokes a refresh token that nothing here will use.
func (d *Desk) abandon(ctx context.Context, p Provider, rt secret.Text) {
	if rt.Empty() {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), revokeFor)
	defer stop()
	if err := p.Revoke(ctx, rt); err != nil {
		d.o.Log.WarnContext(ctx, "a login that came to nothing is not revoked at its provider",
			"provider", p.Info().Issuer, "err", err)
	}
}

// discard ends a mytoken that nobody will ever have in hand, and its login with it.
func (d *Desk) discard(ctx context.Context, n *minted) {
	p, err := d.o.Ledger.Present(ctx, n.jwt, Origin{})
	if err != nil {
		d.o.Log.WarnContext(ctx, "a mytoken that nobody has is left over", "err", err)
		return
	}
	defer p.Close()
	r, err := p.Revoke(ctx, "", true, Origin{})
	if err != nil {
		d.o.Log.WarnContext(ctx, "a mytoken that nobody has is left over", "err", err)
		return
	}
	defer r.Refresh.Wipe()
	up, ok := d.o.Upstream.Provider(n.claims.OIDCIssuer)
	if !ok || r.Refresh.Empty() {
		return
	}
	d.abandon(ctx, up, r.Refresh)
}

func (d *Desk) mintFirst(a *order, p ProviderInfo, auth Authenticated) (*minted, error) {
	if auth.Refresh.Empty() {
		return nil, providerError(ErrNoRefresh)
	}
	if auth.Subject == "" {
		return nil, providerError(ErrNoSubject)
	}
	rs, err := d.limits(a, p, auth)
	if err != nil {
		return nil, err
	}
	now := d.now()
	authTime := auth.AuthTime
	if authTime.IsZero() {
		authTime = now
	}
	jwt, claims, err := d.o.Minter.Issue(mint.Order{
		Name: a.Name, OIDCIssuer: p.Issuer, OIDCSubject: auth.Subject, Capabilities: a.Capabilities, Restrictions: rs,
		Rotation: a.Rotation, AuthTime: authTime, KeyThumbprint: a.Key, Now: now,
	})
	if err != nil {
		return nil, fmt.Errorf("make a mytoken: %w", err)
	}
	return &minted{jwt, claims, ledger.UserID(p.Issuer, auth.Subject)}, nil
}

// limits are the restrictions of a first mytoken: what was agreed to, inside what is enforced for the person, without
// what the provider did not give.
func (d *Desk) limits(a *order, p ProviderInfo, auth Authenticated) (mytoken.Restrictions, error) {
	rs, err := d.enforce(a, auth.Template)
	if err != nil {
		return nil, err
	}
	// The end that was agreed to was within the bound when that was done, and time has passed since.
	if rs, _, err = rules.LimitLifetime(rs, d.now(), p.MaxLifetime); err != nil {
		return nil, settleError(err)
	}
	rs, lost, err := rules.Cut(rs, auth.Granted)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, CodeRequest,
			"the provider did not give what the restrictions name: "+cutTo(err.Error(), maxReasons), err)
	}
	if len(lost) > 0 && a.Strict {
		return nil, badRequest("the provider did not give all of what the restrictions name: "+reasons(lost), nil)
	}
	if end := rules.Ends(rs); !end.IsZero() && !end.After(d.now()) {
		return nil, badRequest("token would already be expired", nil)
	}
	return rs, nil
}

// enforce keeps restrictions inside the template that is enforced for a person.
func (d *Desk) enforce(a *order, template string) (mytoken.Restrictions, error) {
	if template == "" {
		return a.Restrictions, nil
	}
	name, err := profiles.ParseName(template)
	if err != nil {
		return nil, fmt.Errorf("enforce restrictions: %w", err)
	}
	payload, ok, err := d.o.Templates(mytoken.RestrictionTemplates, name)
	if err == nil && !ok {
		err = &profiles.UnknownError{Name: template}
	}
	if err != nil {
		return nil, fmt.Errorf("enforce restrictions: %w", err)
	}
	outer, err := profiles.Restrictions(payload, d.o.Templates)
	if err == nil {
		outer, err = rules.Settle(outer, rules.Setting{Now: d.now(), Client: a.From.Client})
	}
	if err != nil {
		return nil, fmt.Errorf("enforce restrictions: %w", err)
	}
	if len(outer) == 0 {
		return a.Restrictions, nil
	}
	tight, err := rules.Tighten(rules.Parent{Restrictions: outer, Now: d.now(), Template: true}, a.Restrictions)
	if err != nil {
		return nil, tightenError(err)
	}
	if err := tight.Strict(); err != nil && a.Strict {
		return nil, tightenError(err)
	}
	return tight.Restrictions, nil
}

func tightenError(err error) error {
	switch {
	case errors.Is(err, rules.ErrNotSubset), errors.Is(err, rules.ErrClauses):
		return badRequest(cutTo(err.Error(), maxReasons), err)
	case errors.Is(err, rules.ErrNothingLeft), errors.Is(err, rules.ErrUsedUp):
		return refuse(http.StatusForbidden, CodeRestricted, textRestricted+": "+err.Error(), err)
	}
	return fmt.Errorf("tighten restrictions: %w", err)
}

// providerError turns what a provider said, or did not, into the API's words.
func providerError(err error) error {
	var said *flow.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrAttributes):
		return refuse(http.StatusForbidden, CodeDenied, ErrAttributes.Error(), err)
	case errors.Is(err, flow.ErrAccessDenied):
		return refuse(http.StatusUnauthorized, CodeDenied, "login was declined at the provider", err)
	case errors.Is(err, ledger.ErrNoLogin):
		return badToken("No refresh token attached", err)
	case errors.Is(err, custody.ErrBusy):
		e := refuse(http.StatusServiceUnavailable, CodeOIDC, "the provider is busy with this login", err)
		e.RetryAfter = time.Second
		return e
	case errors.Is(err, flow.ErrAudience):
		return badRequest("the provider cannot be asked for this audience", err)
	case errors.Is(err, ErrNoRefresh), errors.Is(err, ErrNoSubject), errors.Is(err, flow.ErrIDToken):
		return refuse(StatusProvider, CodeOIDC, rootText(err), err)
	case errors.As(err, &said):
		return saidError(said, err)
	case errors.Is(err, flow.ErrState), errors.Is(err, flow.ErrIssuer):
		return badRequest("State mismatched", err)
	case errors.Is(err, ErrDown), flow.Temporary(err), errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusInternalServerError, CodeInternal, ErrDown.Error(), err)
	}
	return err
}

func rootText(err error) string {
	for _, known := range []error{ErrNoRefresh, ErrNoSubject} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return flow.ErrIDToken.Error()
}

// saidError repeats a provider's refusal, with its status where that is one of a refusal.
func saidError(said *flow.Error, err error) *Error {
	status := said.Status
	if status < 400 || status > 599 {
		status = StatusProvider
	}
	text := said.Code
	if text == "" {
		text = fmt.Sprintf("the provider answered with status %d", said.Status)
	}
	if said.Description != "" {
		text += ": " + said.Description
	}
	e := refuse(status, CodeOIDC, cutTo(text, maxReasons), err)
	e.RetryAfter = said.RetryAfter
	return e
}
