package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

const (
	// storeRole is kept in file and database, so that nothing else is opened by mistake.
	storeRole = "provisioner"
	// ledgerRole is that of the worker's file.
	ledgerRole = "provisioner-worker"
	// stateWait is for a file that another process is about to give back.
	stateWait = 2 * time.Second
)

func stateOptions(env *cli.Env) keep.Options {
	return keep.Options{
		Getenv: env.Getenv, Warn: func(msg string) { env.Log.Warn(msg, "op", "start") },
		Engine: func(ctx context.Context, p keep.Place, mustExist bool) (store.Engine, error) {
			eng, err := openEngine(ctx, env, p, mustExist)
			if err != nil {
				return nil, engineError(err)
			}
			return eng, nil
		},
	}
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
	case errors.As(err, &used) && strings.HasPrefix(used.Holder, ledgerRole):
		return cli.Fail(cli.Temporary, err, "the worker runs: systemctl stop oidcbox-provisioner-worker first")
	case errors.As(err, &used):
		return cli.Fail(cli.Temporary, err, "a server runs on it; for several servers the state has to be in PostgreSQL")
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(cli.NotFound, fmt.Errorf("there is no state yet: %w", err),
			"provisioner setup makes one, with configurations; setup --state-only makes nothing else")
	case errors.Is(err, store.ErrUnsafe):
		return cli.Fail(cli.Denied, err, "the state has to be in a directory of mode 0700 that belongs to the user of the server")
	case errors.Is(err, store.ErrUnavailable):
		return cli.Fail(cli.Temporary, err, "does the database run, and is its address right (state.postgres.url_file)?")
	case errors.Is(err, pgstore.ErrPlain):
		return cli.Fail(cli.No, err, "sslmode=verify-full in the URL, or state.postgres.allow_plain: true on a network of your own")
	}
	return keystore.Refusal(err)
}
