package token

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// printOne is the usual job.
func (c *Cmd) printOne(ctx context.Context, env *cli.Env) error {
	minValid := c.minValid(env)
	r, err := c.obtain(ctx, env, minValid)
	if err != nil {
		return err
	}
	defer r.value.Wipe()
	if r.value.Empty() { // a refresh token alone was issued and saved
		return nil
	}
	if err := c.judge(env, r); err != nil {
		return err
	}
	c.noteIssuer(env, r)
	c.noteScopes(env, r)
	warnShort(env, r, minValid)
	out, err := c.print(r)
	if err != nil {
		return err
	}
	defer clear(out)
	if _, err := env.Stdout.Write(out); err != nil {
		return fmt.Errorf("print the token: %w", err)
	}
	return nil
}

// noteIssuer says how the provider spells its name, when that is not how it was typed: tokens are compared exactly.
func (c *Cmd) noteIssuer(env *cli.Env, r result) {
	if proto.IsIssuer(c.Account, env.Upstream) && r.issuer != c.Account {
		env.Note("the issuer is %s", r.issuer)
	}
}

// warnShort says that a token will not live as long as was asked. It is used all the same: there is no better one.
func warnShort(env *cli.Env, r result, minValid int64) {
	if minValid <= 0 || r.expires <= 0 {
		return
	}
	left := time.Unix(r.expires, 0).Sub(env.Now())
	if left < time.Duration(minValid)*time.Second {
		env.Warn("the token is valid for %d s only; the provider gives none for longer", int64(left/time.Second))
	}
}

// store writes the token to where programs look for it. Standard output has the place, for a variable of a script.
func (c *Cmd) store(ctx context.Context, env *cli.Env) error {
	path, err := c.place(env)
	if err != nil {
		return err
	}
	minValid := c.minValid(env)
	r, err := c.obtain(ctx, env, minValid)
	if err != nil {
		return err
	}
	defer r.value.Wipe()
	if r.value.Empty() {
		return cli.Failf(cli.No, "the provider gave no access token that could be stored")
	}
	if err := c.judge(env, r); err != nil {
		return err
	}
	warnShort(env, r, minValid)
	if err := bearer.Store(path, r.value); err != nil {
		return err
	}
	c.noteHidden(env, path)
	if c.JSON {
		return printJSON(env.Stdout, storedFile{File: path, Issuer: r.issuer, Expires: r.expires})
	}
	_, err = fmt.Fprintln(env.Stdout, cli.Printable(path))
	return err
}

// storedFile is what --store --json prints.
type storedFile struct {
	File    string `json:"file"`
	Issuer  string `json:"issuer"`
	Expires int64  `json:"expires_at"`
}

// place is where --store and --watch default write.
func (c *Cmd) place(env *cli.Env) (string, error) {
	uid := os.Geteuid()
	if uid < 0 && env.Getenv(bearer.EnvFile) == "" {
		err := errors.New("there is no usual place for a token here")
		return "", cli.Fail(cli.Usage, err, "name a file with "+bearer.EnvFile)
	}
	path := bearer.Path(env.Getenv, uid)
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	return path, nil
}

// noteHidden says when programs will not find what was stored.
func (c *Cmd) noteHidden(env *cli.Env, path string) {
	if env.Getenv(bearer.EnvToken) != "" {
		env.Warn("programs will take the token in %s and not the one in %s", bearer.EnvToken, path)
	}
}
