package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/grant"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

// Grant gets a token by token exchange or client credentials, with the client of a login.
func (a Admin) Grant(ctx context.Context, r control.GrantRequest) (g control.Granted, err error) {
	err = a.inside(func() error {
		g, err = a.s.grant(ctx, r)
		return err
	})
	return g, err
}

func (s *Service) grant(ctx context.Context, r control.GrantRequest) (control.Granted, error) {
	if r.SaveAs != "" {
		if err := s.mayKeep(ctx, r); err != nil {
			return control.Granted{}, err
		}
	}
	cfg, l, err := s.clientOf(ctx, r.Login)
	if err != nil {
		return control.Granted{}, err
	}
	defer cfg.Wipe()
	if l.confirm || s.opts.Switches.Confirm {
		w := want{scope: r.Scope, audience: r.Audience, hint: r.Hint}
		if err := s.allowed(ctx, l, "a token of its client", w); err != nil {
			return control.Granted{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	cl, err := s.client(ctx, cfg, words(r.Audience))
	if err != nil {
		return control.Granted{}, err
	}
	toks, err := grant.Run(ctx, cl, r)
	defer toks.Wipe()
	// A refresh token is kept also when the rest of the answer is useless: nobody else has it.
	saved, keepErr := s.keepGrant(ctx, cfg, r, toks)
	if err := cmp.Or(err, keepErr); err != nil {
		s.opts.Log.InfoContext(ctx, "no token", "op", r.Kind, "login", r.Login, "err", err)
		return control.Granted{}, explainGrant(err, r)
	}
	return control.Granted{
		Token: control.Token{
			Access: toks.Access.Clone(), Issuer: s.spelled(ctx, cfg), Expires: toks.Expires, Scope: toks.Scope,
		},
		IssuedType: toks.IssuedType, Saved: saved,
	}, nil
}

// clientOf is the configuration of a login whose client is to be used, and the login, also when it is not served.
func (s *Service) clientOf(ctx context.Context, name string) (login.Config, loaded, error) {
	if err := login.CheckName(name); err != nil {
		return login.Config{}, loaded{}, badRequest("%v", err)
	}
	sh, err := s.holder(ctx, name)
	if err != nil {
		return login.Config{}, loaded{}, err
	}
	cfg, row, err := sh.config(ctx, name)
	if err != nil {
		return login.Config{}, loaded{}, err
	}
	if cfg.MytokenURL != "" {
		cfg.Wipe()
		err := fmt.Errorf("login %s is one of a mytoken server and has no client of its own", name)
		return login.Config{}, loaded{}, cli.Fail(cli.Usage, err, "")
	}
	l, served := s.logins.get(name)
	if !served {
		l = loaded{name: name, issuer: cfg.Issuer, confirm: row.Confirm}
	}
	return cfg, l, nil
}

// explainGrant helps with what a provider says to a grant: another login of the person, which a refresh would need,
// does not.
func explainGrant(err error, r control.GrantRequest) error {
	var fe *flow.Error
	if !errors.As(err, &fe) || fe.Code == "" || flow.Temporary(err) {
		return err
	}
	p := explain(err, r.Login)
	p.help = fmt.Sprintf("Asked for by %s with the client of login %s at %s", r.Kind, r.Login, fe.Issuer)
	if r.Scope != "" {
		p.help += fmt.Sprintf(", scope %q", r.Scope)
	}
	if r.Audience != "" {
		p.help += fmt.Sprintf(", audience %q", r.Audience)
	}
	p.help += "."
	switch fe.Code {
	case "invalid_grant", "invalid_token", "invalid_request":
		if r.Kind == control.GrantExchange {
			p.help = "The subject token may have expired, or be none that this provider gave. " + p.help
		}
	case "unauthorized_client", "unsupported_grant_type":
		p.help = "The client may not be registered for this grant. " + p.help
	case "access_denied", "invalid_scope", "invalid_target":
		p.help = "The provider's policy does not give this to the client. " + p.help
	}
	return cli.Fail(cli.No, p, p.help)
}

// mayKeep refuses a name before anything is asked of the provider.
func (s *Service) mayKeep(ctx context.Context, r control.GrantRequest) error {
	if err := login.CheckName(r.SaveAs); err != nil {
		return cli.Fail(cli.Usage, fmt.Errorf("name of the new login: %w", err), "")
	}
	if r.SaveAs == r.Login {
		return cli.Failf(cli.Usage, "login %s cannot be replaced by what its client got", r.Login)
	}
	_, err := s.holder(ctx, r.SaveAs)
	if err == nil && !r.Replace {
		return cli.Fail(cli.No, fmt.Errorf("there is a login %s", r.SaveAs), "choose another name, or give --replace")
	}
	return nil
}

// keepGrant makes a login of the refresh token of an exchange.
func (s *Service) keepGrant(
	ctx context.Context, cfg login.Config, r control.GrantRequest, toks flow.Tokens,
) (where string, err error) {
	if r.SaveAs == "" {
		return "", nil
	}
	if toks.Refresh.Empty() {
		return "", &problem{
			text: "The provider gave no refresh token", err: ErrNoRefreshToken,
			help: "Its policy may give none for this exchange; without --save-as the access token is printed.",
		}
	}
	return s.keepLogin(ctx, grant.Login(cfg, r, toks))
}

// keepLogin puts a new login into the keystore where that is open, else into memory.
func (s *Service) keepLogin(ctx context.Context, cfg login.Config) (where string, err error) {
	if old, ok := s.logins.remove(cfg.Name); ok {
		s.tokens.forget(old.name)
	}
	sh, err := s.keystore()
	if err == nil {
		if err := sh.keeper.Forget(ctx, cfg.Name); err != nil {
			return "", err
		}
		if err = s.save(ctx, cfg); err == nil {
			return control.SavedKeystore, nil
		}
		s.opts.Log.WarnContext(ctx, "login goes to memory: the keystore did not take it", "login", cfg.Name, "err", err)
	}
	if err := s.memory().keeper.Forget(ctx, cfg.Name); err != nil {
		return "", err
	}
	l := loaded{name: cfg.Name, issuer: cfg.Issuer, expires: s.expiry(loading{})}
	if err := s.place(ctx, s.memory(), cfg, l); err != nil {
		return "", err
	}
	return control.SavedMemory, s.logins.put(l)
}
