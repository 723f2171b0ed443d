package service

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

// finding is what the refresh token in a file means to us.
type finding int

const (
	sameToken  finding = iota // it is ours
	oldToken                  // ours has replaced it
	newToken                  // somebody else put it there
	otherLogin                // the file is for something else
)

func judge(ctx context.Context, sh *shelf, own, file login.Config) (finding, error) {
	if !login.SameIssuer(own.Issuer, file.Issuer) || own.ClientID != file.ClientID || file.RefreshToken.Empty() {
		return otherLogin, nil
	}
	st, err := sh.keeper.State(ctx, own.Name)
	if err != nil {
		return 0, err
	}
	if st.TokenID == file.RefreshToken.ID() {
		return sameToken, nil
	}
	old, err := sh.keeper.Superseded(ctx, own.Name, file.RefreshToken)
	if err != nil {
		return 0, err
	}
	if old {
		return oldToken, nil
	}
	return newToken, nil
}

// takeOver looks at the account file of a login before its refresh token is used, by rule 4 of fileWriter; always means
// that the file is opened also when it is the one we know. It reports whether the refresh token is another one now.
func (w *fileWriter) takeOver(ctx context.Context, sh *shelf, cfg login.Config, always bool) bool {
	name := cfg.Name
	if !w.s.hasAccount(name) {
		return false
	}
	r := w.row(name)
	if !always {
		f, err := w.s.opts.Accounts.Read(name)
		if err != nil || f.Sum() == r.sum || r.since.IsZero() && r.sum == [32]byte{} {
			return false
		}
	}
	o, err := w.open(ctx, name)
	if err != nil {
		if f, readErr := w.s.opts.Accounts.Read(name); readErr == nil {
			w.edit(name, func(r *fileRow) { r.sum = f.Sum() }) // not again for each refresh
		}
		return false
	}
	defer o.wipe()
	what, err := judge(ctx, sh, cfg, o.cfg)
	if err != nil {
		return false
	}
	switch what {
	case sameToken:
		w.settle(name, o.file.Sum(), o.cfg.RefreshToken.ID(), r.heard)
	case otherLogin:
		w.leave(name, o.file.Sum())
	case oldToken:
		w.edit(name, func(r *fileRow) { r.sum, r.token, r.foreign, r.dirty, r.stuck = o.file.Sum(), "", false, true, false })
		w.call()
	case newToken:
		return w.take(ctx, sh, name, o)
	}
	return false
}

// useToken runs a refresh of a login and looks after its account file before and behind it.
func (s *Service) useToken(
	ctx context.Context, l loaded, sh *shelf, cfg login.Config, refresh func() (flow.Tokens, error),
) (flow.Tokens, error) {
	if !s.hasAccount(l.name) {
		toks, err := refresh()
		if err == nil && !l.stored {
			s.warnOfRotation(ctx, l.name)
		}
		return toks, err
	}
	s.files.takeOver(ctx, sh, cfg, false)
	before := sh.state(ctx, l.name).TokenID
	toks, err := refresh()
	if errors.Is(err, custody.ErrLoginAgain) && s.files.takeOver(ctx, sh, cfg, true) {
		toks, err = refresh()
	}
	if now := sh.state(ctx, l.name).TokenID; now != before {
		s.files.rotated(l.name, now)
	}
	return toks, err
}

func (w *fileWriter) take(ctx context.Context, sh *shelf, name string, o opened) bool {
	heard := w.row(name).heard
	err := sh.keeper.Put(ctx, name, o.cfg.RefreshToken)
	if err != nil && !errors.Is(err, custody.ErrSuperseded) {
		w.s.opts.Log.WarnContext(ctx, "refresh token of the account file not taken over", "login", name, "err", err)
		return false
	}
	w.settle(name, o.file.Sum(), o.cfg.RefreshToken.ID(), heard)
	w.s.opts.Log.InfoContext(ctx, "went on with the refresh token that somebody else has written into the account file",
		"login", name, "tokid", o.cfg.RefreshToken.ID())
	return err == nil
}
