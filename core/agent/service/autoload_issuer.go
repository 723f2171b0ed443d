package service

import (
	"context"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// forIssuer is the served login for a request by issuer: the default account of the issuer if that is loaded, else the
// one loaded last.
func (s *Service) forIssuer(issuer string) (loaded, bool) {
	if iss, ok := s.opts.Issuers().Find(issuer); ok && iss.DefaultAccount != "" {
		if l, ok := s.logins.get(iss.DefaultAccount); ok && login.SameIssuer(l.issuer, issuer) {
			return l, true
		}
	}
	return s.logins.forIssuer(issuer)
}

// autoloadIssuer finds a login for an issuer of which none is served: the default account of its entry, what a locked
// keystore has for it, and with the person's consent a new one.
func (s *Service) autoloadIssuer(ctx context.Context, w want) (loaded, error) {
	none := fail(proto.TextNotLoaded, "No login for this issuer is loaded.")
	if s.opts.NoAutoload {
		return loaded{}, none
	}
	if iss, ok := s.opts.Issuers().Find(w.issuer); ok && iss.DefaultAccount != "" {
		l, err := s.autoload(ctx, iss.DefaultAccount)
		switch {
		case err == nil && login.SameIssuer(l.issuer, w.issuer):
			return l, nil
		case err != nil && !isText(err, proto.TextNotConfigured):
			return loaded{}, err
		}
	}
	if s.keystoreState(ctx) == control.KeystoreLocked {
		if err := s.desk.once(ctx, "keystore", s.unlockByPerson); err != nil {
			return loaded{}, notBrought(err, fail(proto.TextNotLoaded, helpUnlock))
		}
		if l, ok := s.forIssuer(w.issuer); ok {
			return l, nil
		}
	}
	return s.autogen(ctx, w, none)
}
