package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

const (
	daemonWait    = 2 * time.Second // for a keystore that another process is about to give back
	maxPassphrase = 4 << 10
)

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

// keystoreFile is nil for an agent without keystore.
func (d *daemon) keystoreFile() (service.File, error) {
	if d.cmd.NoKeystore {
		return nil, nil
	}
	path := d.cmd.Keystore
	if path == "" {
		var err error
		if path, err = keystore.DefaultPath(d.env.Getenv); err != nil {
			return nil, cli.Fail(cli.Usage, err, "name it with --keystore, or go without with --no-keystore")
		}
	}
	return file{path: d.abs(path), opts: boltstore.Options{
		Role: "person", Holder: "oidc-agent", Timeout: daemonWait, Now: d.env.Now, Log: d.log,
	}}, nil
}

// openKeystore unlocks the keystore with what was given, and makes one where there is none. Without a credential it
// stays locked and the agent serves what is loaded over its socket. It never asks.
func (d *daemon) openKeystore(ctx context.Context) error {
	if d.cmd.NoKeystore {
		return nil
	}
	o := keystore.CredentialOptions{
		PassphraseFile: d.abs(d.cmd.PassphraseFile), PassphraseCmd: d.cmd.PassphraseCmd, KeyFile: d.abs(d.cmd.KeyFile),
		Getenv: d.env.Getenv,
	}
	cred, found, err := keystore.FindCredential(o)
	if err != nil {
		return cli.Fail(cli.Usage, fmt.Errorf("find the key of the keystore: %w", err), "")
	}
	if !found {
		return nil
	}
	defer cred.Forget()
	err = d.svc.OpenKeystore(ctx, cred)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keystore.ErrNoHeader) {
		return d.makeKeystore(ctx)
	}
	return d.judge(err)
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
	case errors.Is(err, keystore.ErrWrongPassphrase), errors.Is(err, keystore.ErrWrongKey):
		return cli.Fail(cli.Denied, err, "")
	}
	return err
}

// makeKeystore creates the keystore that the flags speak of. A program is not asked twice for a passphrase that nobody
// has confirmed: there the person creates the keystore first.
func (d *daemon) makeKeystore(ctx context.Context) error {
	first, err := d.firstSlot()
	if err != nil {
		return err
	}
	defer first.Passphrase.Wipe()
	if err := d.svc.MakeKeystore(ctx, first); err != nil {
		return d.judge(err)
	}
	d.log.Info("made a keystore", "kind", first.Kind.String())
	return nil
}

// firstSlot is the way into a new keystore that the flags or the environment name.
func (d *daemon) firstSlot() (keystore.NewSlot, error) {
	path := d.cmd.PassphraseFile
	switch {
	case d.cmd.KeyFile != "":
		return keystore.NewSlot{Kind: keystore.KindKeyFile, Path: d.abs(d.cmd.KeyFile)}, nil
	case d.cmd.PassphraseCmd != "":
		return keystore.NewSlot{}, cli.Fail(cli.NotFound, errors.New("there is no keystore yet"),
			"make one with: oidcbox self keystore create")
	case path == "":
		path = d.env.Getenv(keystore.EnvPassphraseFile)
	}
	if path == "" {
		dir := d.env.Getenv("CREDENTIALS_DIRECTORY")
		return keystore.NewSlot{Kind: keystore.KindCredential, Dir: dir, Name: keystore.CredentialName}, nil
	}
	pass, err := firstLineOf(d.abs(path))
	return keystore.NewSlot{Kind: keystore.KindPassphrase, Passphrase: pass}, err
}

// firstLineOf reads a passphrase for a new keystore. The file must be the owner's alone, as it must be to unlock.
func firstLineOf(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read passphrase file: %w", err)
	}
	defer f.Close()
	b := make([]byte, 0, maxPassphrase) // never grows, so there is one copy
	n, err := io.ReadFull(f, b[:maxPassphrase])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return secret.Text{}, fmt.Errorf("read passphrase file %s: %w", path, err)
	}
	line, rest, _ := bytes.Cut(b[:n], []byte("\n"))
	clear(rest)
	return secret.New(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// abs makes a path independent of the working directory, which the agent leaves.
func (d *daemon) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.env.Dir, path)
}
