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
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

const (
	// storeRole is kept in file and database, so that nothing else is opened by mistake.
	storeRole = "mytoken-server"
	// stateWait is for a file that another process is about to give back.
	stateWait = 2 * time.Second
)

// statePlace is where the state is, with what this server adds.
type statePlace struct {
	keep.Place
	escrow string // file with the public half of the escrow key; "": there is none
}

func stateOptions(env *cli.Env) keep.Options {
	return keep.Options{
		Getenv: env.Getenv, Warn: func(msg string) { env.Log.Warn(msg, "op", "start") },
		Engine: func(ctx context.Context, p keep.Place, mustExist bool) (store.Engine, error) {
			eng, err := openEngine(ctx, env, p, mustExist)
			return eng, engineError(err)
		},
	}
}

// openState opens the state of a server, which has to be there.
func openState(ctx context.Context, env *cli.Env, p statePlace) (*keep.State, error) {
	return keep.Open(ctx, p.Place, stateOptions(env))
}

// makeState makes a state that is not there yet, and its key file where there is none.
func makeState(ctx context.Context, env *cli.Env, p statePlace) (*keep.State, error) {
	return keep.Make(ctx, p.Place, stateOptions(env))
}

// openEngine opens file or database.
func openEngine(ctx context.Context, env *cli.Env, p keep.Place, mustExist bool) (store.Engine, error) {
	if p.File != "" {
		eng, err := boltstore.Open(ctx, p.File, boltstore.Options{
			Role: storeRole, Holder: storeRole, Timeout: stateWait, MustExist: mustExist, Now: env.Now, Log: env.Log,
		})
		if err != nil {
			return nil, err // not eng: an interface with nothing in it is not nil
		}
		return eng, nil
	}
	d := p.Database
	o := pgstore.Options{
		Role: storeRole, Schema: d.Schema, AllowPlain: d.Plain, MustExist: mustExist, MaxConns: d.Connections, Log: env.Log,
	}
	if d.PasswordFile != "" {
		o.Password = func() (string, error) { return keep.ReadLine(d.PasswordFile) }
	}
	eng, err := pgstore.Open(ctx, func() (string, error) { return keep.ReadLine(d.URLFile) }, o)
	if err != nil {
		return nil, err
	}
	return eng, nil
}

// engineError gives an error about the state its exit code and what to do.
func engineError(err error) error {
	var used *store.InUseError
	switch {
	case err == nil:
		return nil
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
