package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// shelf is what these commands need of whoever has the keystore open: the agent, or this process.
type shelf interface {
	Logins(ctx context.Context) ([]control.Login, error)
	ExportLogin(ctx context.Context, name string) (secret.Text, error)
	ImportLogin(ctx context.Context, config secret.Text, o control.ImportOptions) (string, error)
}

// closeTime bounds closing a keystore that this process has opened.
const closeTime = 10 * time.Second

// shelf returns the logins of the keystore at path: through the agent that has it open, else opened for the length of
// the command. Call done at the end; its error is that of the last write.
func (f keystoreKey) shelf(ctx context.Context, env *cli.Env, path string) (s shelf, done func() error, err error) {
	st, err := control.Client{Path: control.Place(env.Getenv)}.Status(ctx)
	switch {
	case err != nil && !errors.Is(err, control.ErrNoAgent):
		return nil, nil, fmt.Errorf("ask the agent: %w", err)
	case err == nil && sameFile(st.KeystorePath, path) && st.Keystore == control.KeystoreOpen:
		return control.Client{Path: control.Place(env.Getenv)}, func() error { return nil }, nil
	}
	// This finds the key, asks for it where that is needed, and shows that it fits.
	u, err := f.unlock(ctx, env, path, false)
	if err != nil {
		return nil, nil, err
	}
	u.Drop()
	if err := u.eng.Close(); err != nil {
		u.cred.Forget()
		u.vault.Close()
		return nil, nil, explain(err)
	}
	defer u.cred.Forget()
	svc, err := service.New(service.Options{
		Vault: u.vault, Memory: memstore.New(), File: onlyFile{path, env}, Now: env.Now,
		Log: slog.New(slog.DiscardHandler), HTTP: offline,
	})
	if err != nil {
		u.vault.Close()
		return nil, nil, err
	}
	done = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		defer u.vault.Close()
		return explain(svc.Close(ctx))
	}
	if err := svc.OpenKeystore(ctx, u.cred); err != nil {
		return nil, nil, errors.Join(explain(err), done())
	}
	return svc.Admin(), done, nil
}

// offline keeps a keystore that is opened for a moment from finishing what an agent has begun with a provider.
func offline(string) (*httpc.Client, error) {
	return nil, errors.New("nothing is sent while the keystore is only looked after")
}

// onlyFile is a keystore file as the service takes it.
type onlyFile struct {
	path string
	env  *cli.Env
}

func (f onlyFile) Path() string { return f.path }

func (f onlyFile) Exists(context.Context) (bool, error) {
	_, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f onlyFile) Open(ctx context.Context) (store.Engine, error) {
	return boltstore.Open(ctx, f.path, boltstore.Options{
		Role: "person", Holder: f.env.Name, MustExist: true, Now: f.env.Now, Log: f.env.Log,
	})
}

// Make is never asked for: these commands work on a keystore that is there.
func (f onlyFile) Make(context.Context) (store.Engine, error) {
	return nil, fmt.Errorf("make a keystore: %w", errors.ErrUnsupported)
}
