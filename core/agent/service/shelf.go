package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/store"
)

// shelf is one place where logins live: a sealed engine with a row per login and its refresh token in custody.
type shelf struct {
	eng    store.Engine // sealed
	keeper *custody.Keeper
	keys   keys
	raw    store.Engine // below eng
}

func loginTable() store.Table { return store.Table{Name: "agent-logins", HideKeys: true} }

// row is what is kept of a login beside its refresh token. Config is the account JSON without it.
type row struct {
	Version            int             `json:"v"`
	Config             json.RawMessage `json:"config"`
	Confirm            bool            `json:"confirm,omitempty"`
	AlwaysAllowIDToken bool            `json:"always_allow_id_token,omitempty"`
	Subject            string          `json:"sub,omitempty"` // whose login it is, where an ID token said so

	// FromFile marks a login that a client loaded from an account file while the keystore was open. It is here so that
	// its newest refresh token outlives the agent. Until is when it is to be unloaded, in Unix seconds, 0 for never;
	// Unloaded says that it is not served until its file is loaded again.
	FromFile bool  `json:"from_file,omitempty"`
	Until    int64 `json:"until,omitempty"`
	Unloaded bool  `json:"unloaded,omitempty"`
}

// rowOf is the row of a served login, without its configuration.
func rowOf(l loaded) row {
	r := row{
		Version: rowVersion, Confirm: l.confirm, AlwaysAllowIDToken: l.allowIDTok, Subject: l.subject, FromFile: l.fromFile,
	}
	if l.fromFile && !l.expires.IsZero() {
		r.Until = l.expires.Unix()
	}
	return r
}

// served reports whether a login of this row is served when its keystore is opened.
func (r row) served(now time.Time) bool {
	return !r.FromFile || !r.Unloaded && (r.Until == 0 || time.Unix(r.Until, 0).After(now))
}

const rowVersion = 1

// save keeps the configuration of a login. The refresh token in it is not part of the row: it belongs to custody.
func (sh *shelf) save(ctx context.Context, cfg login.Config, l loaded) error {
	return sh.put(ctx, cfg, rowOf(l))
}

// retire keeps a login from an account file out of service until the file is loaded again. That it is not there is no
// error.
func (sh *shelf) retire(ctx context.Context, name string) error {
	cfg, r, err := sh.config(ctx, name)
	if errors.Is(err, ErrUnknownLogin) {
		return nil
	}
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	r.Unloaded, r.Until = true, 0
	return sh.put(ctx, cfg, r)
}

func (sh *shelf) put(ctx context.Context, cfg login.Config, r row) error {
	cfg.RefreshToken = secret.Text{}
	plain, err := cfg.Encode()
	if err != nil {
		return fmt.Errorf("encode login %s: %w", cfg.Name, err)
	}
	defer clear(plain)
	r.Config = plain
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode login %s: %w", cfg.Name, err)
	}
	defer clear(value)
	err = sh.eng.Update(ctx, func(tx store.WTx) error {
		return tx.Put(loginTable(), store.Record{Key: store.Key{cfg.Name}, Value: value})
	})
	if err != nil {
		return fmt.Errorf("save login %s: %w", cfg.Name, err)
	}
	return nil
}

// config reads a login, or fails with ErrUnknownLogin.
func (sh *shelf) config(ctx context.Context, name string) (login.Config, row, error) {
	var rec store.Record
	err := sh.eng.View(ctx, func(tx store.Tx) (err error) {
		rec, err = tx.Get(loginTable(), store.Key{name})
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return login.Config{}, row{}, fmt.Errorf("login %s: %w", name, ErrUnknownLogin)
	}
	if err != nil {
		return login.Config{}, row{}, fmt.Errorf("read login %s: %w", name, err)
	}
	defer clear(rec.Value)
	return decodeRow(name, rec.Value)
}

func decodeRow(name string, value []byte) (login.Config, row, error) {
	var r row
	if err := json.Unmarshal(value, &r); err != nil {
		return login.Config{}, row{}, fmt.Errorf("read login %s: %w", name, err)
	}
	defer clear(r.Config)
	if r.Version != rowVersion {
		return login.Config{}, row{}, fmt.Errorf("read login %s: %w", name, store.ErrVersion)
	}
	cfg, err := login.ParseConfig(r.Config)
	if err != nil {
		return login.Config{}, row{}, fmt.Errorf("read login %s: %w", name, err)
	}
	r.Config = nil
	return cfg, r, nil
}

// has reports whether a login is saved here for good: one from an account file needs its file.
func (sh *shelf) has(ctx context.Context, name string) bool {
	cfg, r, err := sh.config(ctx, name)
	cfg.Wipe()
	return err == nil && !r.FromFile
}

// full is config with the current refresh token in it.
func (sh *shelf) full(ctx context.Context, name string) (login.Config, error) {
	cfg, _, err := sh.config(ctx, name)
	if err != nil {
		return login.Config{}, err
	}
	cfg.RefreshToken, err = sh.keeper.Token(ctx, name)
	return cfg, err
}

// each calls fn for every login in the order of the engine.
func (sh *shelf) each(ctx context.Context, fn func(login.Config, row)) error {
	err := sh.eng.View(ctx, func(tx store.Tx) error {
		for rec, err := range tx.Scan(loginTable(), nil) {
			if err != nil {
				return err
			}
			cfg, r, err := decodeRow(rec.Key[0], rec.Value)
			clear(rec.Value)
			if err != nil {
				return err
			}
			fn(cfg, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list logins: %w", err)
	}
	return nil
}

func (sh *shelf) count(ctx context.Context) (int, error) {
	n := 0
	err := sh.eng.View(ctx, func(tx store.Tx) error {
		n = 0
		for rec, err := range tx.Scan(loginTable(), nil) {
			if err != nil {
				return err
			}
			clear(rec.Value)
			n++
		}
		return nil
	})
	return n, err
}

// remove deletes a login and its refresh token. That it is not there is no error.
func (sh *shelf) remove(ctx context.Context, name string) error {
	err := sh.eng.Update(ctx, func(tx store.WTx) error {
		return tx.Delete(loginTable(), store.Key{name})
	})
	if err != nil {
		return fmt.Errorf("remove login %s: %w", name, err)
	}
	return sh.keeper.Forget(ctx, name)
}

// close waits for refresh tokens that are still to be saved, wipes the keys and closes the file.
func (sh *shelf) close(ctx context.Context) error {
	err := sh.keeper.Close(ctx)
	sh.keys.Drop()
	return errors.Join(err, sh.raw.Close())
}

// all lists the configurations without secrets, by name.
func (sh *shelf) all(ctx context.Context) ([]login.Config, error) {
	var out []login.Config
	err := sh.each(ctx, func(cfg login.Config, _ row) { out = append(out, cfg.WithoutSecrets()); cfg.Wipe() })
	sorted.By(out, func(a, b login.Config) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// unmarshalMember decodes one member of a JSON object.
func unmarshalMember(object []byte, name string, v any) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		return err
	}
	defer func() {
		for _, raw := range m {
			clear(raw)
		}
	}()
	raw, ok := m[name]
	if !ok {
		return store.ErrNotFound
	}
	return json.Unmarshal(raw, v)
}
