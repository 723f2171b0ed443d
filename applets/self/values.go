package self

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// completeValuesCmd prints words that only this machine knows. It is called while somebody waits at a prompt, so it
// says nothing rather than failing.
type completeValuesCmd struct {
	Kind string `arg:"" enum:"logins" help:"What to list."`
}

const completionWait = 300 * time.Millisecond

func (c *completeValuesCmd) Run(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	for _, name := range loginNames(ctx, env) {
		fmt.Fprintln(env.Stdout, name)
	}
	return nil
}

// loginNames are the logins the agent has, and those with an account file.
func loginNames(ctx context.Context, env *cli.Env) []string {
	names := loadedNames(ctx, env)
	exists := func(dir string) bool { fi, err := os.Stat(dir); return err == nil && fi.IsDir() }
	if dir, found, err := login.FindDir(env.Getenv, exists); err == nil && found {
		if more, err := login.List(dir); err == nil {
			names = append(names, more...)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return login.CheckName(n) != nil })
	slices.Sort(names)
	return slices.Compact(names)
}

func loadedNames(ctx context.Context, env *cli.Env) []string {
	for _, path := range proto.Sockets(env.Getenv) {
		r, err := proto.Client{Path: path}.Call(ctx, proto.Request{Type: proto.TypeLoadedAccounts})
		if err != nil || r.Err() != nil {
			continue
		}
		var names []string
		if r.Info.Into(&names) == nil {
			return names
		}
	}
	return nil
}
