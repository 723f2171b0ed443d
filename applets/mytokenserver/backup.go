package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

type backupCmd struct {
	configFlag
	File string `arg:"" name:"file" help:"Where the copy goes; it must not be there."`
}

// Run copies the state. What comes out is encrypted as the state is, and opens with the same key file, which is not in it.
func (c *backupCmd) Run(ctx context.Context, env *cli.Env) error {
	to := within(env, c.File)
	return c.inOffice(ctx, env, func(o office) error {
		size, err := copyNew(to, func(w io.Writer) error { return o.Backup(ctx, w) })
		if errors.Is(err, fs.ErrExist) {
			return cli.Fail(cli.No, fmt.Errorf("backup: %w", err), "take another name: backups are not overwritten")
		}
		if err != nil {
			return cli.Fail(cli.No, fmt.Errorf("backup: %w", err), "")
		}
		env.Note("%d bytes. Keep the key of the state (state.key_file) and the signing keys (keys.dir) as well, elsewhere: "+
			"without the key nobody can read this file", size)
		return nil
	})
}

// copyNew writes a file that must not be there, with mode 0600, whole or not at all.
func copyNew(path string, write func(io.Writer) error) (size int64, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return 0, errors.Join(err, &fs.PathError{Op: "write", Path: path, Err: fs.ErrExist})
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".copy-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, setup.IgnoreGone(os.Remove(f.Name()))) }()
	if err := errors.Join(write(f), f.Sync()); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return 0, err
	}
	return info.Size(), setup.SyncDir(filepath.Dir(path))
}

type restoreCmd struct {
	configFlag
	File string `arg:"" name:"file" help:"The copy."`
}

// Run puts a copy in the place of a state that is not there, after it was opened with the key of the configuration and
// every record in it.
func (c *restoreCmd) Run(ctx context.Context, env *cli.Env) error {
	s, err := c.read(env)
	if err != nil {
		return err
	}
	if s.state.File == "" {
		return cli.Fail(cli.Usage, errNoSnapshot, "")
	}
	if _, err := os.Lstat(s.state.File); !errors.Is(err, fs.ErrNotExist) {
		return cli.Fail(cli.No, fmt.Errorf("restore: there is a state already: %s", s.state.File),
			"move it away first; it is not overwritten")
	}
	records := 0
	_, err = copyNew(s.state.File, func(w io.Writer) error {
		if err := copyFile(w, within(env, c.File)); err != nil {
			return err
		}
		var err error
		records, err = verifyCopy(ctx, env, s.state, w)
		return err
	})
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("restore: %w", err), "nothing was changed")
	}
	env.Note("%d records, all of which open. What was changed after the copy was made is gone: mytokens that were revoked "+
		"since then live again, and uses since then are not counted", records)
	return nil
}

func copyFile(w io.Writer, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read only
	_, err = io.Copy(w, f)
	return err
}

// verifyCopy opens what was written to w, which is a file, with the credential of the configuration and reads all of it.
func verifyCopy(ctx context.Context, env *cli.Env, p statePlace, w io.Writer) (records int, err error) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, errors.New("the copy is no file")
	}
	cred, err := p.Unlocks(env.Getenv)
	if err != nil {
		return 0, err
	}
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	eng, err := boltstore.Open(ctx, f.Name(), boltstore.Options{
		Role: storeRole, Holder: storeRole, Timeout: stateWait, ReadOnly: true, MustExist: true, Now: env.Now, Log: env.Log,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	k, err := keystore.Open(ctx, eng, v, cred)
	if err != nil {
		return 0, keystore.Refusal(err)
	}
	defer k.Drop()
	return k.Check(ctx)
}
