package service

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

// ImportLogin puts a login out of an account file into the keystore; see control.Importer.
func (a Admin) ImportLogin(
	ctx context.Context, config secret.Text, o control.ImportOptions,
) (outcome string, err error) {
	err = a.inside(func() error {
		cfg, err := parseConfig(config)
		if err != nil {
			return err
		}
		defer cfg.Wipe()
		if cfg.RefreshToken.Empty() {
			return fail(proto.TextNoRefreshToken, "")
		}
		outcome, err = a.s.judgeImport(ctx, cfg)
		if err != nil || o.DryRun {
			return err
		}
		if outcome == control.Imported || outcome == control.ImportConflict && o.Replace {
			outcome = control.Imported
			return a.s.save(ctx, cfg)
		}
		return nil
	})
	return outcome, err
}

// judgeImport says what becomes of a login from a file. A refresh token in a file may be older than ours, and never
// replaces one that came after it; that of another grant replaces ours only when the person says so.
func (s *Service) judgeImport(ctx context.Context, cfg login.Config) (string, error) {
	sh, err := s.keystore()
	if err != nil {
		return "", err
	}
	own, r, err := sh.config(ctx, cfg.Name)
	if errors.Is(err, ErrUnknownLogin) {
		return control.Imported, nil
	}
	if err != nil {
		return "", err
	}
	defer own.Wipe()
	if r.FromFile {
		return control.Imported, nil // it was there for the sake of its newest refresh token only
	}
	what, err := judge(ctx, sh, own, cfg)
	if err != nil {
		return "", err
	}
	if what == sameToken || what == oldToken {
		return control.ImportSame, nil
	}
	return control.ImportConflict, nil
}
