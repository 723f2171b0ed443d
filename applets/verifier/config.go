package verifier

import (
	"context"
	_ "embed"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
)

//go:embed example.yaml
var example string

type configCmd struct {
	Example configExampleCmd `cmd:"" help:"Print a complete configuration with comments, which loads as it is."`
	Check   configCheckCmd   `cmd:"" help:"Say whether a configuration is right, or all that is wrong with it."`
}

type configExampleCmd struct{}

func (c *configExampleCmd) Run(_ context.Context, env *cli.Env) error {
	if _, err := io.WriteString(env.Stdout, example); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

type configCheckCmd struct {
	JSON bool   `name:"json" help:"Print the result as JSON."`
	File string `arg:"" name:"file" help:"The configuration (YAML)."`
}

// checkedConfig is what config check --json prints.
type checkedConfig struct {
	Valid    bool           `json:"valid"`
	Faults   []config.Fault `json:"faults,omitempty"`
	Notes    []config.Fault `json:"notes,omitempty"`
	Issuers  []string       `json:"issuers,omitempty"`
	Services []string       `json:"services,omitempty"`
}

// Run exits with 0 for a configuration that serve takes, 1 for one that it does not, 3 when there is none. Every fault
// is a line on standard error. Nothing is fetched and nobody is asked.
func (c *configCheckCmd) Run(_ context.Context, env *cli.Env) error {
	s, err := readSettings(within(env, c.File))
	if c.JSON && (err == nil || faultsOf(err) != nil) {
		r := checkedConfig{Valid: err == nil, Faults: faultsOf(err)}
		if s != nil {
			r.Notes = s.notes
			for _, iss := range s.gate.Issuers {
				r.Issuers = append(r.Issuers, iss.URL)
			}
			r.Services = s.serviceNames()
		}
		if jsonErr := printJSON(env.Stdout, r); jsonErr != nil {
			return jsonErr
		}
	}
	if err != nil {
		return configError(err)
	}
	if c.JSON {
		return nil
	}
	for _, n := range s.notes {
		env.Warn("%s", n)
	}
	_, err = fmt.Fprintln(env.Stdout, cli.Printable(c.File+": a valid configuration"))
	return err
}
