package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

type scopeCmd struct {
	Profile string   `required:"" placeholder:"PROFILE" help:"Whose rules hold: wlcg or scitokens."`
	Scope   []string `required:"" sep:"none" placeholder:"SCOPE" help:"The scope claim as it stands in the token. May be repeated."`
	Op      string   `required:"" placeholder:"OPERATION" help:"What is to be done, as the profile names it: storage.read, compute.cancel, read ..."`
	Path    string   `placeholder:"PATH" help:"On what, as a client would send it: absolute, percent-encoded. Compute operations have none."`
	JSON    bool     `name:"json" help:"Print the answer as JSON."`
}

// scopeAnswer is what --json prints.
type scopeAnswer struct {
	Allowed   bool   `json:"allowed"`
	Reason    string `json:"reason,omitempty"`
	Operation string `json:"operation"`
	Path      string `json:"path,omitempty"` // as it was understood
}

// Run exits with 0 when the scope allows the operation, 1 when it does not and 2 for wrong usage.
func (c *scopeCmd) Run(_ context.Context, env *cli.Env) error {
	profile := claims.Profile(c.Profile)
	if err := c.check(profile); err != nil {
		return err
	}
	a := c.decide(profile)
	if c.JSON {
		if err := printJSON(env.Stdout, a); err != nil {
			return err
		}
	}
	if !a.Allowed {
		return cli.Fail(cli.No, errors.New("not allowed: "+a.Reason), "")
	}
	if c.JSON {
		return nil
	}
	what := a.Operation
	if a.Path != "" {
		what += " on " + a.Path
	}
	if _, err := fmt.Fprintln(env.Stdout, "allowed: "+what); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// check refuses questions that have no answer, so that a misspelt operation is not taken for a no.
func (c *scopeCmd) check(profile claims.Profile) error {
	ops := claims.Operations(profile)
	switch {
	case ops == nil:
		return cli.Fail(cli.Usage, errors.New("no such profile, or one whose scopes have no meaning of their own"),
			"profiles with capabilities are wlcg and scitokens")
	case !slices.Contains(ops, c.Op):
		return cli.Fail(cli.Usage, fmt.Errorf("profile %s has no such operation", profile),
			"its operations are "+strings.Join(ops, ", "))
	case claims.OnPath(profile, c.Op) && c.Path == "":
		return cli.Fail(cli.Usage, fmt.Errorf("%s needs a path", c.Op), "use --path, / for everything")
	case !claims.OnPath(profile, c.Op) && c.Path != "":
		return cli.Fail(cli.Usage, fmt.Errorf("%s has no path", c.Op), "leave --path out")
	}
	return nil
}

func (c *scopeCmd) decide(profile claims.Profile) scopeAnswer {
	a := scopeAnswer{Operation: c.Op}
	if c.Path != "" {
		path, err := claims.ParseRequestPath(c.Path)
		if err != nil {
			a.Reason = err.Error()
			return a
		}
		a.Path = path.String()
	}
	granted, err := claims.ParseScopes(strings.Join(c.Scope, " ")).Capabilities(profile)
	if err == nil {
		a.Allowed, err = granted.Allow(c.Op, c.Path)
	}
	switch {
	case err != nil: // the whole token is invalid then
		a.Allowed, a.Reason = false, err.Error()
	case !a.Allowed && granted.Any():
		a.Reason = "no scope covers it"
	case !a.Allowed:
		a.Reason = "there is no scope that the profile gives a meaning"
	}
	return a
}
