package verifier

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// kept is the issuer with keys that are kept in a directory between calls. It takes hc.
func (c *trust) kept(ctx context.Context, env *cli.Env, hc *httpc.Client) (anchor, error) {
	dir, err := openKeysDir(env, c.KeysDir)
	if err != nil {
		return anchor{}, err
	}
	issuer, err := c.exact(ctx, env, hc, dir)
	if err != nil {
		hc.CloseIdle()
		return anchor{}, err
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{Dir: dir, Now: env.Now, Log: slog.New(warnings{env})})
	keys.Trust(trustedOf([]string{issuer}))
	return anchor{
		Issuer: verify.Issuer{URL: issuer}, keys: keys, close: func() { keys.Close(); hc.CloseIdle() },
	}, nil
}

// exact is the issuer behind what a person typed: one whose keys are there, or what its discovery document says.
func (c *trust) exact(ctx context.Context, env *cli.Env, hc *httpc.Client, dir *provider.Dir) (string, error) {
	known, err := dir.Issuers()
	if err != nil {
		return "", cli.Fail(cli.No, err, "")
	}
	other, cut := strings.CutSuffix(c.Issuer, "/")
	if !cut {
		other += "/"
	}
	switch {
	case slices.Contains(known, c.Issuer):
		return c.Issuer, nil
	case slices.Contains(known, other):
		env.Warn("the issuer is %s", other)
		return other, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	md, err := discover(ctx, env, hc, c.Issuer)
	if err != nil {
		return "", err
	}
	return md.Issuer, nil
}

// warnings shows a person what a cache would write to a daemon's log.
type warnings struct{ env *cli.Env }

// Enabled is part of slog.Handler.
func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle is part of slog.Handler.
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			text += ": " + a.Value.String()
		}
		return true
	})
	w.env.Warn("%s", oneLine(text))
	return nil
}

// WithAttrs is part of slog.Handler.
func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup is part of slog.Handler.
func (w warnings) WithGroup(string) slog.Handler { return w }
