package service

import (
	"context"
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/store"
)

// behindLife is how long a file that has fallen behind is remembered. No refresh token unused for so long is good.
const behindLife = 366 * 24 * time.Hour

// behindTable lists refresh tokens, by the ID that logs name them with, that lie in account files while the keystore
// has newer ones. It can be read before the keystore is unlocked: an ID is of no use to who does not have the token.
func behindTable() store.Table { return store.Table{Name: "agent-behind", Plain: true} }

// noteBehind remembers that the file of a login in the keystore holds an old refresh token.
func (s *Service) noteBehind(ctx context.Context, name, token string) {
	l, ok := s.logins.get(name)
	sh, err := s.keystore()
	if !ok || !l.stored || err != nil || token == "" {
		return
	}
	err = sh.eng.Update(ctx, func(tx store.WTx) error {
		return tx.Put(behindTable(), store.Record{
			Key: store.Key{token}, Value: []byte{1}, Expires: s.opts.Now().Add(behindLife),
		})
	})
	if err != nil {
		s.opts.Log.WarnContext(ctx, "not recorded that an account file has fallen behind", "login", name, "err", err)
	}
}

// checkBehind keeps a refresh token from an account file from being sent when the locked keystore has a newer one: a
// provider that detects reuse would end the login. The person is asked to unlock the keystore, where that is possible.
func (s *Service) checkBehind(ctx context.Context, cfg login.Config) error {
	if s.keystoreState(ctx) != control.KeystoreLocked {
		return nil
	}
	behind, err := s.listedBehind(ctx, cfg.RefreshToken.ID())
	if err != nil || !behind { // another process has the file: there is nothing that could be asked
		return nil
	}
	err = s.desk.once(ctx, "keystore", s.unlockByPerson)
	if errors.Is(err, prompt.ErrNobody) {
		return fail("the account file of "+cfg.Name+" has an old refresh token, and the keystore with the new one is locked",
			helpUnlock)
	}
	return err
}

func (s *Service) listedBehind(ctx context.Context, token string) (listed bool, err error) {
	eng, err := s.opts.File.Open(ctx)
	if err != nil {
		return false, err
	}
	err = eng.View(ctx, func(tx store.Tx) error {
		_, err := tx.Get(behindTable(), store.Key{token})
		return err
	})
	closed := eng.Close()
	if errors.Is(err, store.ErrNotFound) {
		return false, closed
	}
	return err == nil, errors.Join(err, closed)
}
