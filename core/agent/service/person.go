package service

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/login"
)

// errOtherPerson says that the provider gave tokens of somebody else than the one whose login it is.
var errOtherPerson = errors.New("tokens of another person")

// checkPerson compares whose login it is with whom an ID token names (OpenID Connect Core 12.2). An empty one is not
// known.
func checkPerson(name, is, got string) error {
	if is == "" || got == "" || is == got {
		return nil
	}
	return &problem{
		text: "The provider gave tokens of another person than the one login " + name + " belongs to",
		help: "Log in as the same person, or delete the login first with: oidc-gen --delete " + name,
		err:  errOtherPerson,
	}
}

// samePerson refuses to put a login under the name of one of somebody else at the same provider: what programs do with
// that name would go to his account without a word.
func (s *Service) samePerson(ctx context.Context, cfg login.Config, sub string) error {
	sh, err := s.holder(ctx, cfg.Name)
	if err != nil {
		return nil // nobody has this name, or nobody can say so while the keystore is locked
	}
	old, saved, err := sh.config(ctx, cfg.Name)
	if errors.Is(err, ErrUnknownLogin) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Wipe()
	if !login.SameIssuer(old.Issuer, cfg.Issuer) {
		return nil
	}
	return checkPerson(cfg.Name, saved.Subject, sub)
}
