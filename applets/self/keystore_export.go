package self

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

type keystoreExportCmd struct {
	At    keystoreAt    `embed:""`
	Key   keystoreKey   `embed:""`
	Pw    filePasswords `embed:""`
	PwGpg string        `placeholder:"KEY" help:"Encrypt the files with gpg for this key instead of a password."`
	Dir   string        `placeholder:"DIR" help:"Directory for the account files. Without it: that of oidc-agent."`
	All   bool          `help:"Export every login."`
	Force bool          `help:"Replace files that exist."`
	JSON  bool          `help:"Print JSON."`
	Login []string      `arg:"" optional:"" complete:"logins" help:"Logins to export."`
}

// statusWritten is the good end of an export.
const statusWritten = "written"

// statusExists is a file that nobody said to replace.
const statusExists = "exists"

// Run writes account files that oidc-agent 4 and 5 read: the way back.
func (c *keystoreExportCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	if c.All == (len(c.Login) > 0) {
		return cli.Fail(cli.Usage, errors.New("name the logins to export, or --all"), "")
	}
	dir, err := c.dir(env)
	if err != nil {
		return err
	}
	harden(env)
	sh, done, err := c.Key.shelf(ctx, env, path)
	if err != nil {
		return err
	}
	rows, err := c.export(ctx, env, sh, dir)
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	return c.report(env, dir, rows)
}

func (c *keystoreExportCmd) dir(env *cli.Env) (string, error) {
	if c.Dir != "" {
		return absolute(env, c.Dir), nil
	}
	dir, _, err := login.DirectoryOf(env.Getenv, env.Dir).Find()
	if err != nil {
		return "", cli.Fail(cli.Usage, err, "name a directory with --dir")
	}
	return dir, nil
}

func (c *keystoreExportCmd) export(ctx context.Context, env *cli.Env, sh shelf, dir string) ([]found, error) {
	names, err := c.names(ctx, sh)
	if err != nil {
		return nil, err
	}
	seal, wipe, err := c.sealer(ctx, env)
	if err != nil {
		return nil, err
	}
	defer wipe()
	rows := make([]found, 0, len(names))
	for i, name := range names {
		(&openers{}).progress(env, i+1, len(names), name)
		row := found{Name: name, File: filepath.Join(dir, name), Status: statusWritten}
		if _, err := os.Lstat(row.File); err == nil && !c.Force {
			row.Status, row.Detail = statusExists, "replace it with --force"
		} else if err := c.write(ctx, sh, seal, dir, name); err != nil {
			row.Status, row.Detail = statusFailed, err.Error()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// names are the logins to export, and all of them are there.
func (c *keystoreExportCmd) names(ctx context.Context, sh shelf) ([]string, error) {
	logins, err := sh.Logins(ctx)
	if err != nil {
		return nil, err
	}
	var have []string
	for _, l := range logins {
		if l.Stored {
			have = append(have, l.Name)
		}
	}
	if c.All {
		return have, nil
	}
	for _, name := range c.Login {
		if !slices.ContainsFunc(logins, func(l control.Login) bool { return l.Name == name }) {
			return nil, cli.Failf(cli.NotFound, "there is no login %s", name)
		}
	}
	return c.Login, nil
}

// sealer encrypts an account file.
type sealer func(ctx context.Context, plain secret.Text) ([]byte, error)

// sealer is the way the files are encrypted: for a key, or with one password for all of them.
func (c *keystoreExportCmd) sealer(ctx context.Context, env *cli.Env) (seal sealer, wipe func(), err error) {
	if c.PwGpg != "" {
		gpg, err := login.FindGPG(env.Getenv)
		return func(ctx context.Context, plain secret.Text) ([]byte, error) {
			b, err := gpg.Encrypt(ctx, plain, c.PwGpg)
			return login.PGPFile(b), err
		}, func() {}, err
	}
	keys, err := c.Pw.collect(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	if len(keys.list) == 0 {
		pw, err := askFilePassword(env)
		if err != nil {
			return nil, nil, err
		}
		keys.list = append(keys.list, pw)
	}
	return func(ctx context.Context, plain secret.Text) ([]byte, error) {
		return login.EncryptFile(ctx, plain, keys.list[0])
	}, keys.wipe, nil
}

func askFilePassword(env *cli.Env) (secret.Text, error) {
	env.Note("the account files get a password of their own, which oidc-add will ask for")
	pw, err := askNew(env)
	if errors.Is(err, term.ErrNoTerminal) {
		return secret.Text{}, cli.Fail(cli.Human, term.ErrNoTerminal, "give --pw-file, --pw-cmd or --pw-env")
	}
	if err == nil && pw.Empty() {
		return secret.Text{}, cli.Failf(cli.Usage, "the password is empty")
	}
	return pw, err
}

// write exports one login.
func (c *keystoreExportCmd) write(ctx context.Context, sh shelf, seal sealer, dir, name string) error {
	config, err := sh.ExportLogin(ctx, name)
	if err != nil {
		return err
	}
	defer config.Wipe()
	var cfg login.Config
	if err := config.Use(func(b []byte) (err error) { cfg, err = login.ParseConfig(b); return err }); err != nil {
		return err
	}
	defer cfg.Wipe()
	b, err := cfg.Compatible().Encode()
	if err != nil {
		return err
	}
	plain := secret.New(b)
	defer plain.Wipe()
	file, err := seal(ctx, plain)
	if err != nil {
		return err
	}
	if err := login.WriteAccount(dir, name, file); err != nil {
		return err
	}
	return login.NoteAccount(dir, cfg.Issuer, name)
}

func (c *keystoreExportCmd) report(env *cli.Env, dir string, rows []found) error {
	bad := 0
	for _, r := range rows {
		if r.Status != statusWritten {
			bad++
		}
	}
	if err := printRows(env, rows, c.JSON); err != nil {
		return err
	}
	if bad < len(rows) {
		env.Note("the keystore has these logins still: use one of the two, or unload them here first (oidcbox add -r NAME); "+
			"a provider that replaces refresh tokens makes the files in %s go stale otherwise", dir)
	}
	if bad > 0 {
		return cli.Failf(cli.No, "%d of %d logins were not exported", bad, len(rows))
	}
	return nil
}

// firstLineOf returns the first line that a program prints. No shell.
func firstLineOf(ctx context.Context, env *cli.Env, line string) (secret.Text, error) {
	cred, err := keystore.PassphraseCmd(line, env.Getenv, env.Stderr)
	if err != nil {
		return secret.Text{}, fmt.Errorf("run the command: %w", err)
	}
	defer cred.Forget()
	slot, err := cred.NewSlot(ctx)
	return slot.Passphrase, err
}
