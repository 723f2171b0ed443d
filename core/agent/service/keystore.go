package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
)

// OpenKeystore unlocks the keystore with one credential and serves the logins in it. An open keystore stays open.
func (s *Service) OpenKeystore(ctx context.Context, cred keystore.Credential) error {
	return s.withTurn(ctx, func() error {
		if s.opts.File == nil {
			return ErrNoKeystore
		}
		eng, err := s.opts.File.Open(ctx)
		if err != nil {
			return fmt.Errorf("open the keystore: %w", err)
		}
		ks, err := keystore.Open(ctx, eng, s.opts.Vault, cred)
		if err != nil {
			return errors.Join(err, eng.Close())
		}
		return s.shelve(ctx, eng, ks)
	})
}

// MakeKeystore creates the keystore with its first slot and opens it. ErrKeystoreExists when there is one.
func (s *Service) MakeKeystore(ctx context.Context, first keystore.NewSlot) error {
	return s.withTurn(ctx, func() error {
		if s.opts.File == nil {
			return ErrNoKeystore
		}
		eng, err := s.opts.File.Make(ctx)
		if err != nil {
			return fmt.Errorf("make the keystore: %w", err)
		}
		ks, err := keystore.Create(ctx, eng, s.opts.Vault, first)
		if errors.Is(err, keystore.ErrExists) {
			err = ErrKeystoreExists
		}
		if err != nil {
			return errors.Join(err, eng.Close())
		}
		return s.shelve(ctx, eng, ks)
	})
}

// withTurn runs fn alone, on an agent that is not locked and has no open keystore; with one there is nothing to do.
func (s *Service) withTurn(ctx context.Context, fn func() error) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	if _, err := s.keystore(); err == nil {
		return nil
	}
	return fn()
}

// shelve makes an open keystore the disk shelf and serves its logins. A login of the same name that somebody loaded
// into memory goes on being that one.
func (s *Service) shelve(ctx context.Context, raw store.Engine, ks *keystore.Keystore) error {
	sh := s.newShelf(raw, ks.Engine(), ks)
	var found []loaded
	err := sh.each(ctx, func(cfg login.Config, r row) {
		defer cfg.Wipe()
		if r.served(s.opts.Now()) {
			found = append(found, s.storedLogin(cfg, r))
		}
	})
	if err != nil {
		return errors.Join(err, sh.close(ctx))
	}
	s.mu.Lock()
	s.disk = sh
	s.mu.Unlock()
	for _, l := range found {
		if _, there := s.logins.get(l.name); there {
			continue
		}
		if err := s.logins.put(l); err != nil {
			return fmt.Errorf("load %s: %w", l.name, err)
		}
	}
	s.keepFileLogins(ctx)
	s.opts.Log.InfoContext(ctx, "keystore is open", "path", s.opts.File.Path(), "logins", len(found))
	s.settlePending(sh)
	return nil
}

// CloseKeystore drops the keys of the keystore; its logins are not served any more. Logins in memory stay.
func (s *Service) CloseKeystore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	if _, err := s.keystore(); err != nil {
		return err
	}
	// Refreshes under way end first: their new refresh tokens belong into the file.
	if err := s.gate.close(ctx); err != nil {
		return err
	}
	defer s.gate.open()
	_ = s.files.flushAll(ctx) // it has been logged
	return s.dropDisk(ctx)
}

// dropDisk closes the disk shelf. The gate is closed.
func (s *Service) dropDisk(ctx context.Context) error {
	for _, l := range s.logins.takeStored() {
		s.tokens.forget(l.name)
	}
	s.mu.Lock()
	sh := s.disk
	s.disk = nil
	s.mu.Unlock()
	if sh == nil {
		return nil
	}
	return sh.close(ctx)
}

// keystoreState is one of the control socket's words.
func (s *Service) keystoreState(ctx context.Context) string {
	if _, err := s.keystore(); err == nil {
		return control.KeystoreOpen
	}
	if s.opts.File == nil {
		return control.KeystoreAbsent
	}
	there, err := s.opts.File.Exists(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || there {
		return control.KeystoreLocked
	}
	return control.KeystoreAbsent
}
