package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/account/importconfig"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/config"
)

// importCmd converts the configuration of motley-cue and of the feudal adapter.
type importCmd struct {
	MotleyCue string `name:"motley-cue" placeholder:"FILE" help:"motley_cue.conf; without it the usual places are looked at."`
	Feudal    string `placeholder:"FILE" help:"feudal_adapter.conf, or feudal.conf; likewise."`
	To        string `placeholder:"DIR" help:"Write the configurations and their secrets there, in place of standard output."`
	User      string `default:"oidcbox-provisioner" placeholder:"USER" help:"Who runs the server, and gets its secrets (${default})."`
}

const maxOldConfig = 1 << 20

// errNoOld: there is no old configuration at the usual places.
var errNoOld = errors.New("no configuration of motley-cue was found")

// Run converts what there is. What has another meaning here is said on standard error, what is dangerous first.
func (c *importCmd) Run(ctx context.Context, env *cli.Env) error {
	cue, adapter, err := c.sources(env)
	if err != nil {
		return err
	}
	got, err := importconfig.Convert(cue, adapter)
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("convert: %w", err), "")
	}
	defer func() {
		for _, s := range got.Secrets {
			s.Text.Wipe()
		}
	}()
	if c.To == "" {
		err = c.show(env, got)
	} else {
		err = c.write(ctx, env, got)
	}
	if err != nil {
		return err
	}
	for _, n := range got.Notes {
		if n.Loud {
			env.Warn("ATTENTION: %s", n)
			continue
		}
		env.Note("note: %s", n)
	}
	return nil
}

// sources reads the old files: those that were named, else those at the usual places.
func (c *importCmd) sources(env *cli.Env) (cue, adapter *importconfig.Source, err error) {
	cues, adapters := importconfig.Places(env.Getenv, env.Getenv("HOME"), env.Dir)
	if c.MotleyCue != "" {
		cues, adapters = []string{within(env, c.MotleyCue)}, nil
	}
	if c.Feudal != "" {
		adapters = []string{within(env, c.Feudal)}
	}
	if cue, err = first(cues); err != nil {
		return nil, nil, cli.Fail(cli.NotFound, err, "")
	}
	if cue == nil {
		return nil, nil, cli.Fail(cli.NotFound, errNoOld, "--motley-cue FILE names it")
	}
	env.Note("converting %s", cue.Name)
	if adapter, err = first(adapters); err != nil {
		return nil, nil, cli.Fail(cli.NotFound, err, "")
	}
	switch {
	case adapter != nil:
		env.Note("converting %s", adapter.Name)
	case c.Feudal != "":
		return nil, nil, cli.Fail(cli.NotFound, fmt.Errorf("%s: %w", c.Feudal, fs.ErrNotExist), "")
	default:
		env.Note("no configuration of the feudal adapter: its defaults hold")
	}
	return cue, adapter, nil
}

// first reads the first file that is there; nil when none is.
func first(names []string) (*importconfig.Source, error) {
	for _, name := range names {
		b, err := config.ReadFile(name, maxOldConfig)
		if errors.Is(err, fs.ErrNotExist) {
			if len(names) == 1 {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		return &importconfig.Source{Name: name, Text: b}, nil
	}
	return nil, nil //nolint:nilnil // there is none, which may be no error
}

func (c *importCmd) show(env *cli.Env, got *importconfig.Result) error {
	_, err := fmt.Fprintf(env.Stdout, "# ==== %s ====\n%s\n# ==== %s ====\n%s", serveFile, got.Provisioner, workerFile, got.Worker)
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	for _, s := range got.Secrets {
		env.Note("note: the file %s, with a password, is written with --to DIR", s.Name)
	}
	return nil
}

// write makes the files, and overwrites nothing.
func (c *importCmd) write(ctx context.Context, env *cli.Env, got *importconfig.Result) error {
	dir := within(env, c.To)
	files := []string{filepath.Join(dir, serveFile), filepath.Join(dir, workerFile)}
	for _, s := range got.Secrets {
		files = append(files, filepath.Join(dir, s.Name))
	}
	for _, name := range files {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return cli.Fail(cli.No, fmt.Errorf("there is a file already: %s", name), "--to names another directory")
		}
	}
	err := os.MkdirAll(dir, 0o755) //nolint:gosec // configurations have no secrets
	for _, s := range got.Secrets {
		if err == nil {
			err = c.writeSecret(ctx, filepath.Join(dir, s.Name), s)
		}
	}
	if err == nil {
		err = setup.WriteNew(files[0], got.Provisioner, 0o644)
	}
	if err == nil {
		err = setup.WriteNew(files[1], got.Worker, 0o600)
	}
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("write: %w", err), "")
	}
	for _, name := range files {
		env.Note("written: %s", name)
	}
	return c.check(env, files)
}

func (c *importCmd) writeSecret(ctx context.Context, name string, s importconfig.SecretFile) error {
	err := s.Text.Use(func(b []byte) error { return setup.WriteNew(name, b, 0o600) })
	if err != nil || s.Worker || os.Geteuid() != 0 {
		return err
	}
	u, err := userOf(ctx, c.User)
	if errors.Is(err, errNobody) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Lchown(name, int(u.UID), int(u.GID))
}

// check reads what was written as the daemons will, and says what an administrator still has to add.
func (c *importCmd) check(env *cli.Env, files []string) error {
	for i, of := range []string{ofServe, ofWorker} {
		notes, err := notesOf(of, files[i])
		if err != nil {
			return configError(of, err)
		}
		for _, n := range notes {
			env.Note("note: %s", n)
		}
	}
	env.Note("next: oidcbox provisioner setup --state-only --config-dir %s", cli.ShellQuote(filepath.Dir(files[0])))
	return nil
}
