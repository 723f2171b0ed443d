package self

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
)

type keystoreBackupCmd struct {
	At    keystoreAt `embed:""`
	Force bool       `help:"Replace FILE if it exists."`
	File  string     `arg:"" help:"Where the copy goes; - for standard output."`
}

// Run writes a consistent copy. It holds nothing in the clear and needs no key.
func (c *keystoreBackupCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	source, done, err := copySource(ctx, env, path)
	if err != nil {
		return err
	}
	defer done()
	if c.File == "-" {
		if cli.IsTerminal(env.Stdout) {
			return cli.Failf(cli.Usage, "a backup is not for a terminal")
		}
		return explain(source(ctx, env.Stdout))
	}
	to := absolute(env, c.File)
	if _, err := os.Lstat(to); err == nil && !c.Force {
		return cli.Fail(cli.No, fmt.Errorf("%s exists", to), "replace it with --force")
	}
	if err := backupTo(ctx, to, source); err != nil {
		return explain(err)
	}
	env.Note("copied %s to %s; it opens with the keys the keystore has now", path, to)
	return nil
}

// copier writes a whole keystore file.
type copier func(context.Context, io.Writer) error

// copySource is the agent that has the keystore open, or the file itself.
func copySource(ctx context.Context, env *cli.Env, path string) (source copier, done func(), err error) {
	agent, state, err := holder(ctx, env, path)
	if err != nil {
		return nil, nil, err
	}
	if agent != nil && state == control.KeystoreOpen {
		return agent.Backup, func() {}, nil
	}
	eng, err := openEngine(ctx, env, path, true)
	if err != nil {
		return nil, nil, err
	}
	source = func(ctx context.Context, w io.Writer) error {
		_, err := eng.Snapshot(ctx, w)
		return err
	}
	return source, func() { _ = eng.Close() }, nil
}

// backupTo writes beside the target and renames, so that the target is whole or as it was.
func backupTo(ctx context.Context, to string, source copier) error {
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	err = source(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write backup: %w", err), os.Remove(f.Name()))
	}
	return syncParent(to)
}

type keystoreRestoreCmd struct {
	At    keystoreAt `embed:""`
	Force bool       `help:"Replace the keystore that is there; it is kept aside."`
	File  string     `arg:"" help:"The backup."`
}

// Run puts a backup in place. It is checked first, and the old file stays beside it.
func (c *keystoreRestoreCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	if err := wantFile(ctx, env, path); err != nil {
		return err
	}
	_, statErr := os.Lstat(path)
	exists := statErr == nil
	if exists && !c.Force {
		return cli.Fail(cli.No, fmt.Errorf("%s exists", path), "replace it with --force; it is kept aside")
	}
	tmp, err := takeBackup(ctx, env, absolute(env, c.File), path)
	if err != nil {
		return err
	}
	aside, err := "", error(nil)
	if exists {
		aside, err = setAside(ctx, env, path)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(explain(err), os.Remove(tmp))
	}
	if err := syncParent(path); err != nil {
		return err
	}
	env.Note("restored %s", path)
	if aside != "" {
		env.Note("the old one is %s", aside)
	}
	return nil
}

// takeBackup copies the backup beside the target and checks the copy.
func takeBackup(ctx context.Context, env *cli.Env, from, to string) (tmp string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", cli.Fail(cli.NotFound, fmt.Errorf("open backup: %w", err), "")
	}
	defer func() { _ = in.Close() }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("make the keystore's directory: %w", err)
	}
	tmp = fmt.Sprintf("%s.restore-%d", to, os.Getpid())
	err = backupTo(ctx, tmp, func(_ context.Context, w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
	if err != nil {
		return "", err
	}
	if err := checkBackup(ctx, env, tmp); err != nil {
		return "", errors.Join(cli.Fail(cli.No, fmt.Errorf("%s is no good backup: %w", from, err), ""), os.Remove(tmp))
	}
	return tmp, nil
}

func checkBackup(ctx context.Context, env *cli.Env, path string) error {
	eng, err := openEngine(ctx, env, path, true)
	if err != nil {
		return err
	}
	defer func() { _ = eng.Close() }()
	if err := eng.Check(ctx); err != nil {
		return err
	}
	_, err = keystore.Inspect(ctx, eng)
	return err
}

// setAside gives the old file a second name. It must not be in use: whoever has it open would go on writing to it.
func setAside(ctx context.Context, env *cli.Env, path string) (string, error) {
	eng, err := openEngine(ctx, env, path, false)
	var inUse *store.InUseError
	if errors.As(err, &inUse) || errors.Is(err, store.ErrUnsafe) {
		return "", err
	}
	if err == nil {
		// A damaged file cannot be opened, and is just what a restore replaces.
		defer func() { _ = eng.Close() }()
	}
	aside := path + ".old-" + env.Now().UTC().Format("20060102T150405Z")
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return "", errors.Join(err, fmt.Errorf("%s exists", aside))
	}
	if err := os.Link(path, aside); err == nil {
		return aside, nil
	}
	// No hard links here: there is a moment without a keystore.
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("keep the old keystore: %w", err)
	}
	return aside, nil
}
