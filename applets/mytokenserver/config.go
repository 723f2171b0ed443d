package mytokenserver

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"path/filepath"

	"github.com/oidcbox/oidcbox/core/cli"
)

//go:embed example.yaml
var example string

type configCmd struct {
	Example configExampleCmd `cmd:"" help:"Print a complete configuration with comments."`
}

type configExampleCmd struct{}

func (c *configExampleCmd) Run(_ context.Context, env *cli.Env) error {
	if _, err := io.WriteString(env.Stdout, example); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// read reads the configuration that a command was told of.
func (c *configFlag) read(env *cli.Env) (*settings, error) {
	s, err := readSettings(within(env, c.Config))
	if err != nil {
		return nil, configError(err)
	}
	return s, nil
}

// configError says what is wrong with a configuration: 3 when there is none, 1 when it has faults.
func configError(err error) error {
	if faultsOf(err) == nil {
		return cli.Fail(cli.NotFound, err, "oidcbox mytoken-server setup writes one; --config names another file")
	}
	return cli.Fail(cli.No, err, "oidcbox mytoken-server config example prints every key and what it means")
}

// within resolves a path against the working directory.
func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
