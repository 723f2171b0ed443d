package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/packaging"
)

type installUnitsCmd struct {
	Dir    string `placeholder:"DIR" help:"Where the units go; ~/.config/systemd/user when not given."`
	Remove bool   `help:"Remove the units instead."`
}

// Run writes the units of systemd, with the path of this binary.
func (c *installUnitsCmd) Run(_ context.Context, env *cli.Env) error {
	dir, err := c.dir(env)
	if err != nil {
		return err
	}
	units, err := fs.ReadDir(packaging.Units, packaging.UnitsDir)
	if err != nil {
		return err
	}
	if !c.Remove {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory of the units: %w", err)
		}
	}
	for _, u := range units {
		path := filepath.Join(dir, u.Name())
		if c.Remove {
			err = removeUnit(path)
		} else {
			err = writeUnit(path, u.Name())
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout, path)
	}
	if !c.Remove {
		env.Note("now: systemctl --user daemon-reload && systemctl --user enable --now oidcbox-agent.socket")
	}
	return nil
}

func (c *installUnitsCmd) dir(env *cli.Env) (string, error) {
	if c.Dir != "" {
		return absolute(env, c.Dir), nil
	}
	if dir := env.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "systemd", "user"), nil
	}
	home := env.Getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", cli.Fail(cli.NotFound, errors.New("no home directory is known"), "name the place with --dir")
	}
	return filepath.Join(home, ".config", "systemd", "user"), nil
}

// errUnitPath is for a path that the words of a unit cannot hold.
var errUnitPath = errors.New("the path of this program has letters that systemd would read otherwise")

func writeUnit(path, name string) error {
	text, err := fs.ReadFile(packaging.Units, packaging.UnitsDir+"/"+name)
	if err != nil {
		return err
	}
	exe, err := binary()
	if err != nil {
		return err
	}
	if strings.ContainsAny(exe, " \t\n\"'\\%$;") {
		return fmt.Errorf("%s: %w", exe, errUnitPath)
	}
	out := strings.ReplaceAll(string(text), "ExecStart="+packaging.UnitProgram+" ", "ExecStart="+exe+" ")
	if err := writeWhole(path, []byte(out)); err != nil {
		return fmt.Errorf("write unit: %w", err)
	}
	return nil
}

func removeUnit(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove unit: %w", err)
	}
	return nil
}
