package mytokenserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

const (
	// storeRole is kept in file and database, so that nothing else is opened by mistake.
	storeRole = "mytoken-server"
	// stateWait is for a file that another process is about to give back.
	stateWait = 2 * time.Second
	// envCredentials is where systemd puts credentials (systemd.exec(5)).
	envCredentials = "CREDENTIALS_DIRECTORY"
	maxURLFile     = 8 << 10
)

// errNoCredential is told when systemd has handed over no credentials.
var errNoCredential = errors.New("systemd has handed over no credentials (LoadCredential= in the unit)")

// state is an open, unlocked state.
type state struct {
	raw   store.Engine // below the encryption
	vault *vault.Vault
	keys  *keystore.Keystore
}

// Engine is the sealed store.
func (s *state) Engine() store.Engine { return s.keys.Engine() }

// Close closes all of it.
func (s *state) Close() error {
	if s == nil {
		return nil
	}
	var err error
	if s.keys != nil {
		s.keys.Drop()
	}
	if s.raw != nil {
		err = s.raw.Close()
	}
	if s.vault != nil {
		s.vault.Close()
	}
	return err
}

// openState opens the state of a server, which has to be there.
func openState(ctx context.Context, env *cli.Env, p statePlace) (st *state, err error) {
	st = &state{}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
			st = nil
		}
	}()
	cred, err := p.unlocks(env)
	if err != nil {
		return st, cli.Fail(cli.NotFound, err, "")
	}
	if st.vault, err = newVault(env, p.memory); err != nil {
		return st, err
	}
	if st.raw, err = openEngine(ctx, env, p, true); err != nil {
		return st, engineError(err)
	}
	if st.keys, err = keystore.Open(ctx, st.raw, st.vault, cred); err != nil {
		return st, openError(fmt.Errorf("open the state: %w", err))
	}
	return st, nil
}

// openError adds what to do about a key that is away, or of another state: the words for a person's keystore do not fit.
func openError(err error) error {
	const copied = "put the copy of it back that was kept elsewhere, with the owner and mode 0600 it had (state.key_file): " +
		"nothing else opens the state"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(cli.NotFound, err, copied)
	case errors.Is(err, keystore.ErrWrongKey):
		return cli.Fail(cli.Denied, err, "the key file is of another state; "+copied)
	}
	return keystore.Refusal(err)
}

// makeState makes a state that is not there yet, and its key file where there is none.
func makeState(ctx context.Context, env *cli.Env, p statePlace) (st *state, err error) {
	st = &state{}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
			st = nil
		}
	}()
	if st.vault, err = newVault(env, p.memory); err != nil {
		return st, err
	}
	if st.raw, err = openEngine(ctx, env, p, false); err != nil {
		return st, engineError(err)
	}
	slot := keystore.NewSlot{Kind: keystore.KindKeyFile, Path: p.keyFile, Label: "key file"}
	if p.keyFile == "" {
		slot = keystore.NewSlot{
			Kind: keystore.KindCredential, Dir: env.Getenv(envCredentials), Name: p.credential, Label: "systemd credential",
		}
	}
	if st.keys, err = keystore.Create(ctx, st.raw, st.vault, slot); err != nil {
		return st, keystore.Refusal(fmt.Errorf("make the state: %w", err))
	}
	return st, nil
}

// unlocks is what opens the state. Nothing is read yet.
func (p statePlace) unlocks(env *cli.Env) (keystore.Credential, error) {
	if p.keyFile != "" {
		return keystore.KeyFile(p.keyFile), nil
	}
	dir := env.Getenv(envCredentials)
	if dir == "" {
		return keystore.Credential{}, fmt.Errorf("credential %s of the state: %w", p.credential, errNoCredential)
	}
	return keystore.SystemdCredential(dir, p.credential), nil
}

func newVault(env *cli.Env, memory string) (*vault.Vault, error) {
	mode := vault.Require
	if memory == memoryPrefer {
		mode = vault.Prefer
	}
	v, err := vault.New(mode, func(msg string) { env.Log.Warn(msg, "op", "start") })
	var limited *vault.LimitError
	if errors.As(err, &limited) {
		return nil, cli.Fail(cli.No, err, limited.Hint()+"; or state: {locked_memory: prefer}")
	}
	return v, err
}

// openEngine opens file or database.
func openEngine(ctx context.Context, env *cli.Env, p statePlace, mustExist bool) (store.Engine, error) {
	if p.file != "" {
		eng, err := boltstore.Open(ctx, p.file, boltstore.Options{
			Role: storeRole, Holder: storeRole, Timeout: stateWait, MustExist: mustExist, Now: env.Now, Log: env.Log,
		})
		if err != nil {
			return nil, err // not eng: an interface with nothing in it is not nil
		}
		return eng, nil
	}
	d := p.database
	o := pgstore.Options{
		Role: storeRole, Schema: d.schema, AllowPlain: d.plain, MustExist: mustExist, MaxConns: d.connections, Log: env.Log,
	}
	if d.passwordFile != "" {
		o.Password = func() (string, error) { return readLine(d.passwordFile) }
	}
	eng, err := pgstore.Open(ctx, func() (string, error) { return readLine(d.urlFile) }, o)
	if err != nil {
		return nil, err
	}
	return eng, nil
}

// readLine reads a file with one secret line, anew at each call: it may have changed.
func readLine(name string) (string, error) {
	b, err := config.ReadFile(name, maxURLFile)
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

// engineError gives an error about the state its exit code and what to do.
func engineError(err error) error {
	var used *store.InUseError
	switch {
	case errors.As(err, &used):
		return cli.Fail(cli.Temporary, err, "a server runs on it; for several servers the state has to be in PostgreSQL")
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(cli.NotFound, fmt.Errorf("there is no state yet: %w", err),
			"mytoken-server setup makes one, with configuration and keys; setup --state-only makes nothing else")
	case errors.Is(err, store.ErrUnsafe):
		return cli.Fail(cli.Denied, err, "the state has to be in a directory of mode 0700 that belongs to the user of the server")
	case errors.Is(err, store.ErrUnavailable):
		return cli.Fail(cli.Temporary, err, "does the database run, and is its address right (state.postgres.url_file)?")
	case errors.Is(err, pgstore.ErrPlain):
		return cli.Fail(cli.No, err, "sslmode=verify-full in the URL, or state.postgres.allow_plain: true on a network of your own")
	}
	return keystore.Refusal(err)
}

// tableOwn keeps what the server itself needs to be the same in all of its processes.
func tableOwn() store.Table { return store.Table{Name: "mytoken.server", HideKeys: true} }

// ownSecretLen is that of a key.
const ownSecretLen = 32

// ownSecret returns the random key of a name, which is made when it is asked for first.
func ownSecret(ctx context.Context, eng store.Engine, name string) (secret.Text, error) {
	var key secret.Text
	err := eng.Update(ctx, func(tx store.WTx) error {
		row, err := tx.GetForUpdate(tableOwn(), store.Key{name})
		if errors.Is(err, store.ErrNotFound) {
			b := make([]byte, ownSecretLen)
			_, _ = rand.Read(b) // it never fails
			row = store.Record{Key: store.Key{name}, Value: b}
			err = tx.Put(tableOwn(), row)
		}
		if err == nil && len(row.Value) != ownSecretLen {
			err = store.ErrCorrupt
		}
		key = secret.New(bytes.Clone(row.Value))
		return err
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("key for %s: %w", name, err)
	}
	return key, nil
}
