package add

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// listUsable prints the account files and the logins of the keystore. It works without an agent.
func (c *Cmd) listUsable(ctx context.Context, a *agent) error {
	names, err := accounts(a.env).Names()
	if err != nil {
		return err
	}
	logins, st, err := a.stored(ctx)
	switch {
	case err != nil:
		a.env.Warn("the logins of the keystore are missing here: %v", err)
	case st.Locked || st.Keystore == control.KeystoreLocked:
		a.env.Warn("the logins of the keystore are missing here: it is locked; %s --unlock", a.env.Name)
	}
	for _, l := range logins {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return c.printNames(a.env, "The following account configurations are usable: ", slices.Compact(names))
}

// listLoaded prints what the agent serves, in the order of loading.
func (c *Cmd) listLoaded(ctx context.Context, a *agent) error {
	names, err := a.loaded(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 && !c.JSON && cli.IsTerminal(a.env.Stdout) {
		_, err := fmt.Fprintln(a.env.Stdout, noneLoaded)
		return err
	}
	return c.printNames(a.env, "The following account configurations are currently loaded: ", names)
}

func (a *agent) loaded(ctx context.Context) ([]string, error) {
	rep, err := a.call(ctx, proto.Request{Type: proto.TypeLoadedAccounts})
	if err != nil {
		return nil, err
	}
	var names []string
	if len(rep.Info) > 0 {
		if err := rep.Info.Into(&names); err != nil {
			return nil, errors.New("the agent's list of logins cannot be read")
		}
	}
	return names, nil
}

// noneLoaded is the original's sentence; version 5 has it, like its headers, for people only.
const noneLoaded = "No account configurations are currently loaded."

// printNames prints one name per line. The header is for people: only on a terminal, as version 5 does.
func (c *Cmd) printNames(env *cli.Env, header string, names []string) error {
	if c.JSON {
		if names == nil {
			names = []string{}
		}
		return json.NewEncoder(env.Stdout).Encode(names)
	}
	terminal := cli.IsTerminal(env.Stdout)
	if terminal && len(names) > 0 {
		_, _ = fmt.Fprintln(env.Stdout, header)
	}
	for _, n := range names {
		if terminal {
			n = cli.Printable(n)
		}
		if _, err := io.WriteString(env.Stdout, n+"\n"); err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
	}
	return nil
}

// accounts are the person's account files.
func accounts(env *cli.Env) login.Directory { return login.DirectoryOf(env.Getenv, env.Dir) }
