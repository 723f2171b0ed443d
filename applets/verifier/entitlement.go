package verifier

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

type entitlementCmd struct {
	Required        string   `required:"" placeholder:"URN" help:"The entitlement that is wanted."`
	Actual          []string `required:"" sep:"none" placeholder:"URN" help:"One that somebody has. May be repeated: one that satisfies is enough."`
	Form            string   `enum:"g069,g002,g002-strict" default:"g069" placeholder:"FORM" help:"Guideline to read both by: ${enum}."`
	StrictNamespace bool     `help:"Subnamespaces have to be equal; otherwise those required have to be a leading part."`
	JSON            bool     `name:"json" help:"Print the answer as JSON."`
}

// entitlementAnswer is what --json prints, entitlements in normal form.
type entitlementAnswer struct {
	Satisfied bool          `json:"satisfied"`
	Reason    string        `json:"reason,omitempty"`
	Required  string        `json:"required"`
	By        string        `json:"by,omitempty"`
	Actual    []oneOfActual `json:"actual"`
}

// oneOfActual is one value that somebody has; Normal is empty when it is no group entitlement.
type oneOfActual struct {
	Value     string `json:"value"`
	Normal    string `json:"normal,omitempty"`
	Satisfied bool   `json:"satisfied"`
	Reason    string `json:"reason,omitempty"`
}

// Run exits with 0 when an entitlement satisfies the required one, 1 when none does and 2 for wrong usage, which
// includes a required value that is no group entitlement.
func (c *entitlementCmd) Run(_ context.Context, env *cli.Env) error {
	required, err := entitlement.ParseForm(c.Required, c.form())
	if err != nil {
		return cli.Fail(cli.Usage, fmt.Errorf("--required: %w", err), "")
	}
	a := c.decide(required)
	if c.JSON {
		if err := printJSON(env.Stdout, a); err != nil {
			return err
		}
	}
	if !a.Satisfied {
		return cli.Fail(cli.No, errors.New("not satisfied: "+a.Reason), "")
	}
	if c.JSON {
		return nil
	}
	if _, err := fmt.Fprintln(env.Stdout, cli.Printable(oneLine("satisfied: by "+a.By))); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func (c *entitlementCmd) form() entitlement.Form {
	switch c.Form {
	case "g002":
		return entitlement.G002
	case "g002-strict":
		return entitlement.G002Strict
	}
	return entitlement.G069
}

func (c *entitlementCmd) decide(required entitlement.Entitlement) entitlementAnswer {
	a := entitlementAnswer{Required: required.String(), Actual: make([]oneOfActual, 0, len(c.Actual))}
	read := 0
	for _, value := range c.Actual {
		one := oneOfActual{Value: value}
		if e, err := entitlement.ParseForm(value, c.form()); err != nil {
			one.Reason = err.Error()
		} else {
			read++
			one.Normal, one.Satisfied = e.String(), e.Satisfies(required, c.StrictNamespace)
		}
		if one.Satisfied && !a.Satisfied {
			a.Satisfied, a.By = true, one.Normal
		}
		a.Actual = append(a.Actual, one)
	}
	switch {
	case a.Satisfied:
	case read == 0:
		a.Reason = a.Actual[0].Reason
	default:
		a.Reason = "namespace, group or role is another"
	}
	return a
}
