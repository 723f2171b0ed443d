package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/grant"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Revoke ends the refresh token of a login at its provider, or a token that is given.
func (a Admin) Revoke(ctx context.Context, r control.RevokeRequest) (out control.Revoked, err error) {
	err = a.inside(func() error {
		if r.Token.Empty() {
			out, err = a.s.revokeLogin(ctx, r)
		} else {
			out, err = a.s.revokeToken(ctx, r)
		}
		return err
	})
	return out, err
}

// revokeToken ends a token with the client of a login.
func (s *Service) revokeToken(ctx context.Context, r control.RevokeRequest) (control.Revoked, error) {
	cfg, _, err := s.clientOf(ctx, r.Login)
	if err != nil {
		return control.Revoked{}, err
	}
	defer cfg.Wipe()
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	out := control.Revoked{Login: r.Login, Issuer: cfg.Issuer}
	out.Confirmed, err = s.endToken(ctx, cfg, r.Token, r.Hint)
	return out, err
}

// revokeLogin ends a login: no refresh of it runs meanwhile, and one that waits finds no refresh token.
func (s *Service) revokeLogin(ctx context.Context, r control.RevokeRequest) (control.Revoked, error) {
	if err := login.CheckName(r.Login); err != nil {
		return control.Revoked{}, badRequest("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	defer s.holdAlone(r.Login)()
	sh, err := s.holder(ctx, r.Login)
	if err != nil {
		return control.Revoked{}, err
	}
	cfg, err := sh.full(ctx, r.Login)
	out := control.Revoked{Login: r.Login, Issuer: cfg.Issuer}
	switch {
	case errors.Is(err, custody.ErrUnknownLogin):
		out.Nothing = true
	case err != nil:
		return out, err
	}
	defer cfg.Wipe()
	if !out.Nothing {
		out.Confirmed, err = s.endToken(ctx, cfg, cfg.RefreshToken, "refresh_token")
		// What the provider says is still active is not gone.
		if err != nil || out.Confirmed == control.ConfirmedActive {
			return out, err
		}
	}
	s.tokens.forget(r.Login)
	if err := sh.keeper.Forget(ctx, r.Login); err != nil {
		return out, err
	}
	s.opts.Log.InfoContext(ctx, "login revoked", "login", r.Login, "confirmed", out.Confirmed)
	return out, s.clearUp(ctx, r, cfg, &out)
}

// clearUp deletes the client of a login that is revoked, and the login, as far as that was asked for.
func (s *Service) clearUp(
	ctx context.Context, r control.RevokeRequest, cfg login.Config, out *control.Revoked,
) error {
	if r.DeleteClient {
		s.endClient(ctx, cfg, out)
	}
	if !r.Remove || out.Client == control.ClientFailed {
		return nil
	}
	err := s.drop(ctx, r.Login)
	out.Removed = err == nil
	return err
}

// holdAlone waits for the refreshes of a login and keeps new ones from beginning until release is called. A login that
// is not served has none.
func (s *Service) holdAlone(name string) (release func()) {
	for {
		l, ok := s.logins.get(name)
		if !ok {
			return func() {}
		}
		l.place.Lock()
		if now, ok := s.logins.get(name); ok && now.place == l.place {
			return l.place.Unlock
		}
		l.place.Unlock()
	}
}

// endToken revokes a token and asks what the provider says of it afterwards.
func (s *Service) endToken(ctx context.Context, cfg login.Config, token secret.Text, hint string) (string, error) {
	if cfg.MytokenURL != "" {
		return s.endMytoken(ctx, cfg, token)
	}
	cl, err := s.client(ctx, cfg, nil)
	if err != nil {
		return "", err
	}
	confirmed, err := grant.End(ctx, cl, token, hint)
	switch {
	case errors.Is(err, flow.ErrNoEndpoint):
		return "", &problem{text: proto.TextNoRevocation, err: err, help: "Withdraw your consent on the provider's pages; " +
			"there the token may also be listed and deleted."}
	case err != nil:
		return "", fmt.Errorf("revoke a token of %s: %w", cfg.Name, err)
	}
	return confirmed, nil
}

// endClient deletes the client of a login that was registered for it.
func (s *Service) endClient(ctx context.Context, cfg login.Config, out *control.Revoked) {
	out.Client = control.ClientKept
	if cfg.RegistrationURI == "" || cfg.RegistrationToken.Empty() {
		return
	}
	a, err := s.issuers.access(cfg.CertPath)
	if err == nil && !s.issuers.mayDelete(cfg.RegistrationURI) {
		err = fail(proto.TextCannotDelete+"its address is not one of a provider", "")
	}
	if err == nil {
		err = registration.Delete(ctx, a.http, registration.Client{
			RegistrationURI: cfg.RegistrationURI, RegistrationToken: cfg.RegistrationToken,
		})
	}
	if err == nil || registration.Gone(err) {
		out.Client = control.ClientDeleted
		return
	}
	p := explain(explainRegistration(err), cfg.Name)
	out.Client, out.Detail = control.ClientFailed, p.text
}
