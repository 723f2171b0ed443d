package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	maxSubject = 255 // OpenID Connect Core 2
	maxEmail   = 254 // RFC 5321 4.5.3.1.3, less the angle brackets
)

// identity is who has logged in.
type identity struct {
	subject  string
	email    string
	verified bool
	authTime time.Time
}

// identify finds out who has logged in: from the ID token, which is checked already; from an access token that is a JWT
// of the provider; from userinfo. What says nothing is passed over; two that name different people are an error.
func (p *Provider) identify(ctx context.Context, op backend, t flow.Tokens) (identity, error) {
	who := identity{subject: t.Subject, authTime: p.o.Now()}
	if o, ok := payload(t.ID); ok {
		who.add(o)
	}
	if who.subject == "" {
		if o, ok := p.signed(ctx, t.Access); ok {
			who.subject, _ = o.String("sub")
			who.add(o)
		}
	}
	if who.subject == "" || who.email == "" && p.wants("email") {
		o, err := op.Userinfo(ctx, t.Access)
		switch {
		case err == nil:
			if err := who.meet(o); err != nil {
				return identity{}, err
			}
		case who.subject == "" && !errors.Is(err, flow.ErrNoEndpoint):
			return identity{}, fmt.Errorf("%w: %w", desk.ErrNoSubject, err)
		}
	}
	if who.subject == "" || len(who.subject) > maxSubject {
		return identity{}, desk.ErrNoSubject
	}
	return who, nil
}

func (p *Provider) wants(scope string) bool { return slices.Contains(p.conf.scopes(), scope) }

// add takes mail address and time of login from claims about the person.
func (w *identity) add(o jose.Object) {
	if mail, _ := o.String("email"); w.email == "" && len(mail) <= maxEmail {
		w.email = mail
		w.verified, _ = o.Bool("email_verified")
	}
	if at, err := o.Time("auth_time"); err == nil && !at.IsZero() && at.Before(w.authTime) {
		w.authTime = at
	}
}

// meet takes what userinfo says, if that is about the same person (OpenID Connect Core 5.3.2).
func (w *identity) meet(o jose.Object) error {
	sub, _ := o.String("sub")
	if w.subject != "" && sub != w.subject {
		return fmt.Errorf("%w: %w", desk.ErrNoSubject, ErrSubject)
	}
	w.subject = sub
	w.add(o)
	return nil
}

func payload(t secret.Text) (o jose.Object, ok bool) {
	_ = t.Use(func(b []byte) error {
		m, err := jose.Parse(b)
		if err != nil {
			return nil
		}
		defer clear(m.Payload)
		o, err = jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers)
		ok = err == nil
		return nil
	})
	return o, ok
}

// signed reads an access token whose signature is the provider's: a person is not taken from any other.
func (p *Provider) signed(ctx context.Context, at secret.Text) (o jose.Object, ok bool) {
	if p.keys == nil {
		return o, false
	}
	_ = at.Use(func(b []byte) error {
		m, err := jose.Parse(b)
		if err != nil {
			return nil
		}
		defer clear(m.Payload)
		if o, err = jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers); err != nil {
			return nil
		}
		iss, _ := o.String("iss")
		ok = iss == p.conf.Issuer && verified(ctx, p.keys, iss, m)
		return nil
	})
	return o, ok
}

func verified(ctx context.Context, keys *provider.Keys, issuer string, m *jose.Message) bool {
	list, err := keys.Candidates(ctx, issuer, m.Header)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(k *jose.PublicKey) bool { return m.Verify(k) == nil })
}
