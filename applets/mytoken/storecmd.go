package mytoken

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type storeCmd struct {
	root *Cmd
	limits
	loginOptions
	Name           string `arg:"" name:"name" help:"Name to store it under."`
	Force          bool   `short:"f" help:"Replace a stored mytoken of that name."`
	TC             string `name:"TC" aliases:"tc" placeholder:"CODE" help:"Redeem a transfer code (MYTOKEN_TC)."`
	File           string `name:"MT-file" aliases:"mt-file" placeholder:"FILE" help:"Store the mytoken in a file, as it is."`
	PassphraseFile string `name:"passphrase-file" placeholder:"FILE" help:"File with the passphrase of the keystore."`
	GPGKey         string `name:"gpg-key" short:"k" hidden:"" help:"The keystore is encrypted by its own means."`
	Password       bool   `hidden:"" help:"The keystore is encrypted by its own means."`
}

// Run gets a mytoken and stores it. Where it goes is settled before anybody logs in.
func (c *storeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		if err := login.CheckName(c.Name); err != nil {
			return cli.Fail(cli.Usage, err, "")
		}
		if c.GPGKey != "" || c.Password {
			env.Warn("the mytoken is stored in the agent's keystore, which is encrypted in any case")
		}
		if err := s.openStore(ctx, c.PassphraseFile); err != nil {
			return err
		}
		if err := s.free(ctx, c.Name, c.Force); err != nil {
			return err
		}
		return c.store(ctx, s)
	})
}

// free makes sure that a name may be used.
func (s *session) free(ctx context.Context, name string, force bool) error {
	all, err := s.admin.Logins(ctx)
	if err != nil || force {
		return err
	}
	for _, l := range all {
		if l.Name != name {
			continue
		}
		if l.MytokenURL == "" {
			return cli.Failf(cli.No, "%s is the name of a login at a provider", name)
		}
		if term.Usable() {
			answer, err := term.Line(ctx, "There is a mytoken "+name+" already. Replace it? [y/N] ")
			if err == nil && strings.HasPrefix(strings.ToLower(answer), "y") {
				return nil
			}
		}
		return cli.Fail(cli.No, fmt.Errorf("a mytoken is stored under the name %s", name),
			"choose another name, or give --force")
	}
	return nil
}

func (c *storeCmd) store(ctx context.Context, s *session) error {
	got, server, issuer, err := c.obtain(ctx, s)
	defer got.Wipe()
	if err != nil {
		return err
	}
	if claims, err := mytoken.ReadClaims(got.Token); err == nil && claims.OIDCIssuer != "" {
		issuer, server = claims.OIDCIssuer, claims.Issuer // on the consent page everything can be changed
	}
	cfg := login.Config{
		Name: c.Name, Issuer: issuer, MytokenURL: server, ClientID: agentClient,
		ClientSecret: secret.FromString(agentClient), RefreshToken: got.Token.Clone(),
	}
	if c.root.CAFile != "" {
		cfg.CertPath = within(s.env, c.root.CAFile)
	}
	defer cfg.Wipe()
	if err := s.replace(ctx, cfg); err != nil {
		s.rescue(got.Token)
		return err
	}
	s.env.Note("mytoken %s of %s is stored; use it with: mytoken AT -t %s", c.Name, issuer, c.Name)
	if s.cmd.JSON {
		return s.printJSON(map[string]string{"name": c.Name, "issuer": issuer, "server": server, "mom_id": got.MOMID})
	}
	return nil
}

// replace stores a login in the place of one of the same name.
func (s *session) replace(ctx context.Context, cfg login.Config) error {
	list, err := s.admin.Logins(ctx)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Name == cfg.Name {
			if err := s.admin.RemoveLogin(ctx, l.Name); err != nil {
				return err
			}
		}
	}
	return s.save(ctx, cfg)
}

// obtain gets the mytoken to store.
func (c *storeCmd) obtain(ctx context.Context, s *session) (got mytoken.Issued, server, issuer string, err error) {
	if c.File != "" {
		h, err := s.fromFile(ctx, c.File)
		if err != nil {
			return got, "", "", err
		}
		got.Token = h.text
		cl, err := s.client(ctx, h)
		if err != nil {
			return got, "", "", err
		}
		issuer, err = s.provider(ctx, cl.Server(), cmp.Or(h.issuer, c.Provider))
		return got, cl.Server().Issuer, issuer, err
	}
	cl, err := s.clientOf(ctx, s.server())
	if err != nil {
		return got, "", "", err
	}
	server = cl.Server().Issuer
	if code := orEnv(c.TC, s.env, "MYTOKEN_TC"); code != "" {
		if got, err = cl.Redeem(ctx, secret.FromString(code)); err != nil {
			return got, server, "", err
		}
		return got, server, c.Provider, nil
	}
	r, err := c.limits.request(s, cl.Server())
	if err != nil {
		return got, server, "", err
	}
	if len(r.Capabilities) == 0 && len(r.Include) == 0 {
		r.Capabilities = s.set.storedCapabilities()
	}
	if r.Name == "" {
		r.Name = s.tokenName(c.Name)
	}
	if r.Issuer, err = s.provider(ctx, cl.Server(), c.wanted(s)); err != nil {
		return got, server, "", err
	}
	r.ResponseType = mytoken.KindToken
	r.Device = c.Device
	got, err = s.logIn(ctx, cl, r)
	return got, server, r.Issuer, err
}

// wanted is the provider that is meant: that of -i, else the one that has the name of the mytoken.
func (c *storeCmd) wanted(s *session) string {
	if p := orEnv(c.Provider, s.env, "MYTOKEN_PROVIDER"); p != "" {
		return p
	}
	if _, ok := s.set.issuer(c.Name); ok {
		return c.Name
	}
	return ""
}
