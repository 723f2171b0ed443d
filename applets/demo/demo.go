// Package demo is the role that brings the other roles up together, as separate processes over loopback, and walks
// through the main job: get, keep, hand out and verify an access token.
//
// It starts the roles as children of its own binary and looks at what they print and how they exit, as a person would;
// nothing is imported from them. Every step checks what it says, and the first one that is not true ends it.
//
// Not a public API.
package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar of "oidcbox demo".
type Cmd struct {
	Keep    bool          `help:"Leave everything running and print the environment to go on by hand."`
	Timeout time.Duration `default:"60s" help:"Give up after this long."`

	MytokenProvider string `hidden:"" placeholder:"URL" help:"Another provider for the mytoken server, which lets clients register and everybody in."`
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// step is one line of the walk: what it shows, and the doing. detail is printed behind it.
type step struct {
	what string
	do   func(ctx context.Context, w *world) (detail string, err error)
}

// Run walks through all steps and reports each with a tick and the time it took.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	w, err := newWorld(env)
	if err != nil {
		return err
	}
	w.site.provider = c.MytokenProvider
	keep := false
	defer func() { w.end(keep) }()
	begin := env.Now()
	login, why := loginSteps(ctx, w)
	for _, s := range append(journey(), login...) {
		if err := w.take(ctx, s); err != nil {
			return cli.Fail(cli.No, fmt.Errorf("%s: %w", s.what, err), w.hint())
		}
	}
	if why != "" {
		fmt.Fprintf(env.Stdout, "  %s\n", w.dim(cli.Printable("not shown: logging in by ssh: "+why)))
	}
	fmt.Fprintf(env.Stdout, "%s in %.1f s\n", w.bold("all steps are true"), env.Now().Sub(begin).Seconds())
	if keep = c.Keep; keep {
		w.printEnvironment()
	}
	return nil
}

// take runs one step and prints its line.
func (w *world) take(ctx context.Context, s step) error {
	begin := w.env.Now()
	detail, err := s.do(ctx, w)
	mark := w.green("✓")
	if err != nil {
		mark = w.red("✗")
	}
	fmt.Fprintf(w.env.Stdout, "%s %-66s %6.2f s\n", mark, s.what, w.env.Now().Sub(begin).Seconds())
	if err == nil && detail != "" {
		fmt.Fprintf(w.env.Stdout, "  %s\n", w.dim(cli.Printable(detail)))
	}
	return err
}
