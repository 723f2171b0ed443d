// Package tokensh is the role that runs a command with a token file that is kept fresh: oidc-tokensh.
//
// It gets the first token before the command starts, renews it while the command runs, and takes the file away at the
// end. When no agent runs it starts one for as long as the command does. Where programs look for the file is
// core/token/bearer's to know; it hands no token to the command in any other way.
//
// Standards: WLCG Bearer Token Discovery 1.0.
//
// Not a public API.
package tokensh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// Cmd is the grammar.
type Cmd struct {
	OIDC    string `name:"oidc" placeholder:"LOGIN|ISSUER" help:"Short name of a login, or an issuer (https://...)."`
	Minsecs int64  `default:"60" placeholder:"SECONDS" help:"What the token should live at least, at any time (60)."`
	Outfile string `short:"o" placeholder:"FILE" help:"File for the token instead of the one where programs look for it."`
	Verbose bool   `short:"v" help:"Say what happens to the token."`

	Command []string `arg:"" optional:"" passthrough:"partial" help:"What to run; $SHELL if there is nothing."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run gets a token, runs the command, and ends as it does.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	argv, err := c.argv(env)
	if err != nil {
		return err
	}
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	s := &session{cmd: c, env: *env, path: c.path(env)}
	if err := s.findAgent(ctx); err != nil {
		return err
	}
	defer s.endAgent()
	// What stops this process is for the command to act on; the token file stays fresh until the command has ended.
	quiet, stop := context.WithCancel(context.WithoutCancel(ctx))
	renewed := s.keepFresh(ctx, quiet)
	defer func() { stop(); renewed.wait(); s.removeToken() }()
	if err := renewed.first(); err != nil {
		return s.explain(err)
	}
	return s.run(argv)
}

// argv is the command, checked before anybody is asked for anything.
func (c *Cmd) argv(env *cli.Env) ([]string, error) {
	switch {
	case c.OIDC == "":
		return nil, cli.Fail(cli.Usage, errors.New("no login is named"), "name one with --oidc")
	case c.Minsecs < 0:
		return nil, cli.Failf(cli.Usage, "--minsecs must not be negative")
	}
	argv := c.Command
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		shell := env.Getenv("SHELL")
		if shell == "" {
			return nil, cli.Failf(cli.Usage, "there is no command, and SHELL is not set")
		}
		argv = []string{shell}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, cli.Fail(cli.NotFound, fmt.Errorf("the command: %w", err), "")
	}
	return append([]string{path}, argv...), nil
}

// path is that of the token file.
func (c *Cmd) path(env *cli.Env) string {
	path := c.Outfile
	if path == "" {
		path = bearer.Path(env.Getenv, os.Geteuid())
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	return path
}

// request asks for a token that lives for a while.
func (c *Cmd) request(upstream bool, valid time.Duration) proto.Request {
	r := proto.Request{Type: proto.TypeAccessToken, MinValid: int64(valid / time.Second), Hint: "oidc-tokensh"}
	if proto.IsIssuer(c.OIDC, upstream) {
		r.Issuer = c.OIDC
	} else {
		r.Account = c.OIDC
	}
	return r
}
