package self

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/docs"
)

type manCmd struct {
	box  `kong:"-"`
	Role string `arg:"" optional:"" help:"Role whose page to print."`
	Dir  string `placeholder:"DIR" help:"Write every page there, one per role and one per link."`
}

func (c *manCmd) Run(_ context.Context, env *cli.Env) error {
	if c.Dir != "" {
		return c.writeAll(env)
	}
	for _, r := range c.roles {
		if r.Name == c.Role || slices.Contains(r.Also, c.Role) {
			return c.page(env.Stdout, r)
		}
	}
	return cli.Fail(cli.Usage, fmt.Errorf("there is no role %q", c.Role), "the roles are listed by: "+c.program+" help")
}

func (c *manCmd) page(w io.Writer, r cli.Role) error {
	return cli.Man(w, cli.ManPage{Program: c.program, Version: c.version, Role: r, Prose: docs.Man(r.Name)})
}

// writeAll writes oidcbox-ROLE.1 and, for each other name, a page that refers to it.
func (c *manCmd) writeAll(env *cli.Env) error {
	for _, r := range c.roles {
		if r.Hidden {
			continue
		}
		var b bytes.Buffer
		if err := c.page(&b, r); err != nil {
			return err
		}
		page := c.program + "-" + r.Name + ".1"
		if err := writePage(env, c.Dir, page, b.Bytes()); err != nil {
			return err
		}
		names := slices.Concat(r.Also, r.Upstream)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if err := writePage(env, c.Dir, name+".1", []byte(".so man1/"+page+"\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

func writePage(env *cli.Env, dir, name string, page []byte) error {
	path := filepath.Join(absolute(env, dir), name)
	if err := os.WriteFile(path, page, 0o644); err != nil {
		return fmt.Errorf("write man page: %w", err)
	}
	return nil
}

func absolute(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
