package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// daemonWait is for a keystore that another process is about to give back.
const daemonWait = 2 * time.Second

// keyringWait bounds what the agent does at its start to find the key in the person's keyring.
const keyringWait = 5 * time.Second

// file is the person's keystore on disk.
type file struct {
	path string
	opts boltstore.Options
}

var _ service.File = file{}

func (f file) Path() string { return f.path }

// Exists looks for the file only: whether it is a keystore is found out when it is opened.
func (f file) Exists(context.Context) (bool, error) {
	_, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f file) Open(ctx context.Context) (store.Engine, error) {
	o := f.opts
	o.MustExist = true
	return boltstore.Open(ctx, f.path, o)
}

func (f file) Make(ctx context.Context) (store.Engine, error) {
	return boltstore.Open(ctx, f.path, f.opts)
}

// keystoreFile is nil for an agent without keystore, which is also one that nobody has told where home is.
func (d *daemon) keystoreFile() service.File {
	if d.cmd.NoKeystore {
		return nil
	}
	path := d.cmd.Keystore
	if path == "" {
		var err error
		if path, err = keystore.DefaultPath(d.env.Getenv); err != nil {
			d.warning("going on without a keystore: " + err.Error())
			return nil
		}
	}
	return file{path: d.abs(path), opts: boltstore.Options{
		Role: "person", Holder: "oidc-agent", Timeout: daemonWait, Now: d.env.Now, Log: d.log,
	}}
}

// openKeystore unlocks the keystore with what was given, and makes one where there is none. Without a credential it
// stays locked and the agent serves what is loaded over its socket. It never asks.
func (d *daemon) openKeystore(ctx context.Context) error {
	if d.file == nil {
		return nil
	}
	o := keystore.CredentialOptions{
		PassphraseFile: d.abs(d.cmd.PassphraseFile), PassphraseCmd: d.cmd.PassphraseCmd, KeyFile: d.abs(d.cmd.KeyFile),
		Getenv: d.env.Getenv,
	}
	cred, found, err := keystore.FindCredential(o)
	if err != nil {
		return keystore.Refusal(fmt.Errorf("find the key of the keystore: %w", err))
	}
	if !found {
		d.tryKeyring(ctx, o)
		return nil
	}
	defer cred.Forget()
	there, err := d.file.Exists(ctx)
	if err != nil {
		return err
	}
	if !there {
		return d.makeKeystore(ctx, cred)
	}
	err = d.svc.OpenKeystore(ctx, cred)
	if errors.Is(err, keystore.ErrNoHeader) {
		return d.makeKeystore(ctx, cred)
	}
	return d.judge(err)
}

// tryKeyring unlocks a keystore that has a slot for the keyring of the person's session, if that is open. Nobody asked
// for it, so the agent starts without the keystore where it does not work.
func (d *daemon) tryKeyring(ctx context.Context, o keystore.CredentialOptions) {
	ctx, cancel := context.WithTimeout(ctx, keyringWait)
	defer cancel()
	var err error
	if o.Slots, err = d.slots(ctx); err != nil {
		d.log.Info("keystore stays locked", "err", err)
		return
	}
	o.Quiet = true
	cred, found, err := keystore.FindCredential(o)
	if err == nil && found {
		err = d.svc.OpenKeystore(ctx, cred)
	}
	if err != nil {
		d.warning("the keystore stays locked: " + err.Error())
	}
}

// slots are those of the keystore file; none when there is no file.
func (d *daemon) slots(ctx context.Context) ([]keystore.Slot, error) {
	eng, err := d.file.Open(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := keystore.Inspect(ctx, eng)
	return info.Slots, errors.Join(err, eng.Close())
}

// judge lets the agent start without a keystore that another agent of the person holds; anything else is for the
// person to look at before it gets worse.
func (d *daemon) judge(err error) error {
	inUse := &store.InUseError{}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &inUse):
		d.warning("going on without the keystore: " + inUse.Error())
		return nil
	}
	return keystore.Refusal(err)
}

// makeKeystore creates the keystore with the credential that would have opened it.
func (d *daemon) makeKeystore(ctx context.Context, cred keystore.Credential) error {
	first, err := cred.NewSlot(ctx)
	if err != nil {
		return keystore.Refusal(fmt.Errorf("make a keystore: %w", err))
	}
	defer first.Passphrase.Wipe()
	there, err := d.file.Exists(ctx)
	if err != nil {
		return err
	}
	if err := d.svc.MakeKeystore(ctx, first); err != nil {
		if !there {
			_ = os.Remove(d.file.Path()) // made, and then no keystore in it
		}
		return d.judge(err)
	}
	d.log.Info("made a keystore", "kind", first.Kind.String())
	return nil
}

// abs makes a path independent of the working directory, which the agent leaves.
func (d *daemon) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.env.Dir, path)
}
