package self

import (
	"context"
	"fmt"
	"time"

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

func loginNames(context.Context, *cli.Env) []string { return nil }
