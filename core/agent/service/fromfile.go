package service

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
)

// fileShelf is the open keystore when the login may be kept there as one from an account file: there is such a file, or
// the keystore has had it, and nothing that was saved for good has the name. Else it is nil.
//
// What comes over the agent's socket cannot change what a person has saved in the keystore; of a login in a file, only
// the newest refresh token is looked after there.
func (s *Service) fileShelf(ctx context.Context, cfg login.Config) *shelf {
	sh, err := s.keystore()
	if err != nil {
		return nil
	}
	own, r, err := sh.config(ctx, cfg.Name)
	own.Wipe()
	switch {
	case errors.Is(err, ErrUnknownLogin) && s.hasAccount(cfg.Name):
		return sh
	case err == nil && r.FromFile:
		return sh
	}
	return nil
}

// fileToDisk keeps a login from an account file in the keystore. The newest refresh token wins: that of the file, the
// one in the keystore, or the one that memory has held since the login was loaded the time before.
func (s *Service) fileToDisk(ctx context.Context, disk *shelf, cfg login.Config, l loaded) error {
	own, _, err := disk.config(ctx, cfg.Name)
	own.Wipe()
	if err == nil && !login.SameIssuer(own.Issuer, cfg.Issuer) { // another login by an old name
		if err := disk.keeper.Forget(ctx, cfg.Name); err != nil {
			return err
		}
	}
	rt, err := s.newestToken(ctx, cfg, true)
	if errors.Is(err, custody.ErrUnknownLogin) {
		rt, err = cfg.RefreshToken.Clone(), nil
	}
	if err != nil {
		return err
	}
	defer rt.Wipe()
	cfg.RefreshToken = rt
	if err := s.place(ctx, disk, cfg, l); err != nil {
		return err
	}
	return s.leaveMemory(ctx, disk, cfg.Name)
}

// leaveMemory ends the custody of a login in memory when another shelf has it; what was replaced there stays known.
func (s *Service) leaveMemory(ctx context.Context, to *shelf, name string) error {
	if err := to.keeper.Learn(ctx, name, s.memory().keeper); err != nil {
		return err
	}
	return s.memory().remove(ctx, name)
}

// keepFileLogins moves the logins that were loaded from account files while the keystore was closed into it.
func (s *Service) keepFileLogins(ctx context.Context) {
	for _, l := range s.logins.list() {
		if err := s.keepFileLogin(ctx, l.name); err != nil {
			s.opts.Log.WarnContext(ctx, "login from an account file is not kept in the keystore", "login", l.name, "err", err)
		}
	}
}

// keepFileLogin moves one login from memory to the keystore if it belongs there. It waits for a refresh under way.
func (s *Service) keepFileLogin(ctx context.Context, name string) error {
	l, ok := s.logins.get(name)
	if !ok || l.stored {
		return nil
	}
	l.place.Lock()
	defer l.place.Unlock()
	if now, ok := s.logins.get(name); !ok || now.place != l.place {
		return nil // moved by somebody else
	}
	cfg, err := s.memory().full(ctx, name)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	disk := s.fileShelf(ctx, cfg)
	if disk == nil {
		return nil
	}
	l.stored, l.fromFile = true, true
	if err := s.fileToDisk(ctx, disk, cfg, l); err != nil {
		return err
	}
	return s.logins.put(l)
}
