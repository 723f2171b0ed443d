// Package keep is where a daemon keeps its state: records in a file or in a database, sealed under a data key that a key
// file or a credential of systemd opens, without a person.
//
// It reads where that is from a configuration, opens it and makes a new one. It chooses no engine, the role hands that in,
// and it knows nothing of what is kept.
//
// Standards: systemd.exec(5), LoadCredential=.
//
// Not a public API.
package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
)

const (
	// EnvCredentials is where systemd puts credentials.
	EnvCredentials = "CREDENTIALS_DIRECTORY"
	maxLine        = 8 << 10
)

// ErrNoCredential is told when systemd has handed over no credentials.
var ErrNoCredential = errors.New("systemd has handed over no credentials (LoadCredential= in the unit)")

// Place says where a state is and what opens it. Places can be compared.
type Place struct {
	File     string // of the embedded engine; "" for a database
	Database Database
	KeyFile  string // one of the two opens it
	// Credential is the name of one that systemd hands over.
	Credential string
	// Unlocked lets a daemon start where its memory cannot be locked.
	Unlocked bool
}

// Database is how to reach a PostgreSQL.
type Database struct {
	URLFile, PasswordFile, Schema string
	Connections                   int
	Plain                         bool // without TLS
}

// Opener opens the engine of a place, or makes it unless it must exist.
type Opener func(ctx context.Context, p Place, mustExist bool) (store.Engine, error)

// Options are what a role has of its own.
type Options struct {
	Engine Opener
	Getenv func(string) string
	Warn   func(string) // what is not as it should be and does not stop anything
}

// State is an open, unlocked state.
type State struct {
	Raw   store.Engine // below the encryption
	vault *vault.Vault
	keys  *keystore.Keystore
}

// Engine is the sealed store.
func (s *State) Engine() store.Engine { return s.keys.Engine() }

// Keystore is what seals it.
func (s *State) Keystore() *keystore.Keystore { return s.keys }

// Vault is where its keys lie.
func (s *State) Vault() *vault.Vault { return s.vault }

// Close closes all of it. A nil State is closed.
func (s *State) Close() error {
	if s == nil {
		return nil
	}
	var err error
	if s.keys != nil {
		s.keys.Drop()
	}
	if s.Raw != nil {
		err = s.Raw.Close()
	}
	if s.vault != nil {
		s.vault.Close()
	}
	return err
}

// Open opens a state, which has to be there. Errors have exit codes and hints.
func Open(ctx context.Context, p Place, o Options) (st *State, err error) {
	st = &State{}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
			st = nil
		}
	}()
	cred, err := p.Unlocks(o.Getenv)
	if err != nil {
		return st, cli.Fail(cli.NotFound, err, "")
	}
	if st.vault, err = newVault(p, o); err != nil {
		return st, err
	}
	if st.Raw, err = o.Engine(ctx, p, true); err != nil {
		return st, err
	}
	if st.keys, err = keystore.Open(ctx, st.Raw, st.vault, cred); err != nil {
		return st, openError(fmt.Errorf("open the state: %w", err))
	}
	return st, nil
}

const copied = "put the copy of it back that was kept elsewhere, with the owner and mode 0600 it had (state.key_file): " +
	"nothing else opens the state"

// openError adds what to do about a key that is away, or of another state: the words for a person's keystore do not fit.
func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(cli.NotFound, err, copied)
	case errors.Is(err, keystore.ErrWrongKey):
		return cli.Fail(cli.Denied, err, "the key file is of another state; "+copied)
	}
	return keystore.Refusal(err)
}

// Make makes a state that is not there yet, and its key file where there is none. One that is there is
// keystore.ErrExists.
func Make(ctx context.Context, p Place, o Options) (st *State, err error) {
	st = &State{}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
			st = nil
		}
	}()
	if st.vault, err = newVault(p, o); err != nil {
		return st, err
	}
	if st.Raw, err = o.Engine(ctx, p, false); err != nil {
		return st, err
	}
	slot := keystore.NewSlot{Kind: keystore.KindKeyFile, Path: p.KeyFile, Label: "key file"}
	if p.KeyFile == "" {
		slot = keystore.NewSlot{
			Kind: keystore.KindCredential, Dir: o.Getenv(EnvCredentials), Name: p.Credential, Label: "systemd credential",
		}
	}
	if st.keys, err = keystore.Create(ctx, st.Raw, st.vault, slot); err != nil {
		return st, keystore.Refusal(fmt.Errorf("make the state: %w", err))
	}
	return st, nil
}

// Unlocks is what opens the state. Nothing is read yet. The error is ErrNoCredential.
func (p Place) Unlocks(getenv func(string) string) (keystore.Credential, error) {
	if p.KeyFile != "" {
		return keystore.KeyFile(p.KeyFile), nil
	}
	dir := getenv(EnvCredentials)
	if dir == "" {
		return keystore.Credential{}, fmt.Errorf("credential %s of the state: %w", p.Credential, ErrNoCredential)
	}
	return keystore.SystemdCredential(dir, p.Credential), nil
}

func newVault(p Place, o Options) (*vault.Vault, error) {
	mode := vault.Require
	if p.Unlocked {
		mode = vault.Prefer
	}
	v, err := vault.New(mode, o.Warn)
	var limited *vault.LimitError
	if errors.As(err, &limited) {
		return nil, cli.Fail(cli.No, err, limited.Hint()+"; or state: {locked_memory: prefer}")
	}
	return v, err
}

// ReadLine reads a file with one secret line. Engines call it anew for each connection: it may have changed.
func ReadLine(name string) (string, error) {
	b, err := config.ReadFile(name, maxLine)
	if err != nil {
		return "", err
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	t := secret.New(b)
	defer t.Wipe()
	return t.Expose(), nil
}
