package keychain

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
)

// load loads the logins that the agent does not have. One that fails does not keep the others from being loaded.
func (k *keychain) load(ctx context.Context, r start.Running, names []string) error {
	if len(names) == 0 {
		return nil
	}
	there, err := loaded(ctx, r)
	if err != nil {
		k.env.Warn("%v", err) // a locked agent says so again for each of them
	}
	ok := true
	for _, name := range names {
		if slices.Contains(there, name) {
			continue
		}
		if err := k.add(ctx, r, name); err != nil {
			k.env.Warn("load %s: %v", name, err)
			ok = false
		}
	}
	if !ok {
		_, _ = fmt.Fprintln(k.env.Stdout, failed)
		return cli.Exit(cli.No)
	}
	return nil
}

// add runs oidc-add of this program, which may ask the person. What it prints is no line for the shell.
func (k *keychain) add(ctx context.Context, r start.Running, name string) error {
	self, err := cli.OwnProgram()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "--", name)
	cmd.Args[0] = "oidc-add"
	cmd.Dir, cmd.Env = k.env.Dir, withVariable(k.env.Environ(), "OIDC_SOCK", r.Socket)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = k.env.Stdin, k.env.Stderr, k.env.Stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return errors.New("oidc-add failed") // it has said why
	}
	return err
}

// withVariable is an environment in which one variable has another value.
func withVariable(environ []string, name, value string) []string {
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, name+"=") })
	return append(environ, name+"="+value)
}

// loaded are the logins the agent serves.
func loaded(ctx context.Context, r start.Running) ([]string, error) {
	rep, err := proto.Client{Path: r.Socket}.Call(ctx, proto.Request{Type: proto.TypeLoadedAccounts})
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("ask what is loaded: %w", err)
	}
	var names []string
	if len(rep.Info) > 0 {
		if err := rep.Info.Into(&names); err != nil {
			return nil, errors.New("ask what is loaded: the agent's list cannot be read")
		}
	}
	return names, nil
}
