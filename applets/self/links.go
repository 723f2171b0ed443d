package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/oidcbox/oidcbox/core/cli"
)

type installLinksCmd struct {
	box           `kong:"-"`
	Dir           string `placeholder:"DIR" help:"Where the links go; the directory of the binary when not given."`
	UpstreamNames bool   `help:"Also make the links with the names of the programs they replace (oidc-token ...)."`
	Desktop       bool   `help:"Also write a desktop file, for logins whose redirect goes to the scheme of oidc-agent."`
	Force         bool   `help:"Replace a link of that name that leads elsewhere. A real file is never replaced."`
	Remove        bool   `help:"Remove the links instead: those that lead to this binary, nothing else."`
}

// Run makes links NAME -> binary. Everything is looked at before the first change, so that a clash leaves nothing half
// done.
func (c *installLinksCmd) Run(_ context.Context, env *cli.Env) error {
	target, err := binary()
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	if c.Dir != "" {
		dir = absolute(env, c.Dir)
	}
	names := c.names()
	if c.Remove {
		return errors.Join(removeLinks(env, dir, target, names), c.removeDesktop(env))
	}
	todo, err := c.plan(dir, target, names)
	if err != nil {
		return err
	}
	for _, name := range todo {
		if err := replaceLink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "%s -> %s\n", filepath.Join(dir, name), target)
	}
	if len(todo) == 0 {
		env.Note("all links are there already")
	}
	if c.Desktop {
		return installDesktop(env, target)
	}
	return nil
}

func (c *installLinksCmd) removeDesktop(env *cli.Env) error {
	if !c.Desktop {
		return nil
	}
	return removeDesktop(env)
}

// binary is the file itself, links resolved: a link must not lead to another link that may go away.
func binary() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return exe, nil
}

// names are "oidcbox-ROLE" for each role and what else is ours; the names of the originals only when asked for, so that
// a package can sit beside them.
func (c *installLinksCmd) names() []string {
	var out []string
	for _, r := range c.roles {
		if r.Hidden {
			continue
		}
		out = append(out, c.program+"-"+r.Name)
		for _, n := range slices.Concat(r.Also, r.Upstream) { // a role may have the name of the original itself
			if c.UpstreamNames || !slices.Contains(r.Upstream, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// plan lists the links to make and refuses all of them when one would replace something else.
func (c *installLinksCmd) plan(dir, target string, names []string) ([]string, error) {
	var todo []string
	var faults []error
	for _, name := range names {
		path := filepath.Join(dir, name)
		fi, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			todo = append(todo, name)
		case err != nil:
			faults = append(faults, err)
		case fi.Mode()&fs.ModeSymlink == 0:
			faults = append(faults, fmt.Errorf("%s is a file of its own", path))
		case leadsTo(path, target):
		case c.Force:
			todo = append(todo, name)
		default:
			faults = append(faults, fmt.Errorf("%s leads elsewhere", path))
		}
	}
	if len(faults) > 0 {
		return nil, cli.Fail(cli.No, errors.Join(faults...), "choose another --dir, or --force to replace links")
	}
	return todo, nil
}

func leadsTo(link, target string) bool {
	to, err := filepath.EvalSymlinks(link)
	return err == nil && to == target
}

// replaceLink makes the link under another name and renames it, so that the name is never absent.
func replaceLink(target, path string) error {
	tmp := fmt.Sprintf("%s.new-%d", path, os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("make link: %w", err)
	}
	return nil
}

func removeLinks(env *cli.Env, dir, target string, names []string) error {
	for _, name := range names {
		path := filepath.Join(dir, name)
		fi, err := os.Lstat(path)
		if err != nil || fi.Mode()&fs.ModeSymlink == 0 || !leadsTo(path, target) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove link: %w", err)
		}
		fmt.Fprintf(env.Stdout, "removed %s\n", path)
	}
	return nil
}
