package mytoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type mtCmd struct {
	Create   createCmd   `cmd:"" name:"create" default:"withargs" help:"Get a mytoken and print it (the same without the word)."`
	Store    storeCmd    `cmd:"" name:"store" help:"Get a mytoken and store it under a name."`
	List     infoListCmd `cmd:"" name:"list-mytokens" help:"List all your mytokens, as the server knows them."`
	Transfer transferCmd `cmd:"" name:"transfer" help:"Make a code with which another machine gets the same mytoken."`
}

// login are the options of a login at a provider.
type loginOptions struct {
	OIDC     bool   `name:"oidc" help:"Log in at a provider, whatever mytoken there may be."`
	Provider string `name:"provider" short:"i" aliases:"issuer" placeholder:"PROVIDER" help:"Issuer of the provider, or its name (MYTOKEN_PROVIDER)."`
}

type createCmd struct {
	root *Cmd
	source
	limits
	loginOptions
	Name  string `name:"name" short:"n" aliases:"tag" help:"Name of the new mytoken."`
	TC    string `name:"TC" aliases:"tc" placeholder:"CODE" help:"Redeem a transfer code (MYTOKEN_TC)."`
	Kind  string `name:"token-type" enum:"token,short,transfer,short_token,transfer_code" default:"token" placeholder:"KIND" help:"token, short or transfer."`
	Out   string `short:"o" placeholder:"FILE" help:"Put it into a file that only you can read."`
	Check bool   `name:"check" help:"Only show what would be asked for."`
}

// Run gets a mytoken: for a transfer code, by a login, or from another mytoken.
func (c *createCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		code := orEnv(c.TC, env, "MYTOKEN_TC")
		switch {
		case c.Check:
			return c.check(ctx, s)
		case code != "":
			return c.redeem(ctx, s, secret.FromString(code))
		case c.OIDC || c.Provider != "":
			return c.login(ctx, s)
		}
		return c.sub(ctx, s)
	})
}

func (c *createCmd) check(ctx context.Context, s *session) error {
	cl, err := s.clientOf(ctx, s.server())
	if err != nil {
		return err
	}
	r, err := c.limits.request(s, cl.Server())
	if err != nil {
		return err
	}
	return s.printJSON(r)
}

func (c *createCmd) redeem(ctx context.Context, s *session, code secret.Text) error {
	cl, err := s.clientOf(ctx, s.server())
	if err != nil {
		return err
	}
	got, err := cl.Redeem(ctx, code)
	defer got.Wipe()
	if err != nil {
		return err
	}
	return c.print(s, got, nil)
}

func (c *createCmd) login(ctx context.Context, s *session) error {
	cl, err := s.clientOf(ctx, s.server())
	if err != nil {
		return err
	}
	r, err := c.request(s, cl.Server())
	if err != nil {
		return err
	}
	if r.Issuer, err = s.provider(ctx, cl.Server(), orEnv(c.Provider, s.env, "MYTOKEN_PROVIDER")); err != nil {
		return err
	}
	got, err := s.logIn(ctx, cl, r)
	defer got.Wipe()
	if err != nil {
		return err
	}
	return c.print(s, got, nil)
}

func (c *createCmd) sub(ctx context.Context, s *session) error {
	h, err := s.held(ctx, c.source)
	if err != nil {
		return err
	}
	defer h.wipe()
	cl, err := s.client(ctx, h)
	if err != nil {
		return err
	}
	r, err := c.request(s, cl.Server())
	if err != nil {
		return err
	}
	got, err := cl.Subtoken(ctx, h.text, r)
	defer got.Wipe()
	if kept := s.keep(ctx, h, got.Update); kept != nil || err != nil {
		return errors.Join(err, kept)
	}
	return c.print(s, got, h)
}

// request is that of the options. What is printed is for one purpose: without a word about it, it may get access tokens
// and tell what it is.
func (c *createCmd) request(s *session, srv *mytoken.Server) (mytoken.Request, error) {
	r, err := c.limits.request(s, srv)
	if err != nil {
		return r, err
	}
	if len(r.Capabilities) == 0 && len(r.Include) == 0 {
		r.Capabilities = s.set.capabilities
		if len(r.Capabilities) == 0 {
			r.Capabilities = mytoken.Capabilities{"AT", "tokeninfo"}
		}
	}
	if c.Name != "" {
		r.Name = s.tokenName(c.Name)
	}
	switch c.Kind {
	case "short", mytoken.KindShortToken:
		r.ResponseType = mytoken.KindShortToken
	case "transfer", mytoken.KindTransferCode:
		r.ResponseType = mytoken.KindTransferCode
	}
	return r, nil
}

// issuedJSON is a mytoken as JSON.
type issuedJSON struct {
	Mytoken      string               `json:"mytoken,omitempty"`
	TransferCode string               `json:"transfer_code,omitempty"`
	Kind         string               `json:"mytoken_type"`
	MOMID        string               `json:"mom_id,omitempty"`
	ExpiresAt    int64                `json:"expires_at,omitempty"`
	Capabilities mytoken.Capabilities `json:"capabilities,omitempty"`
	Restrictions mytoken.Restrictions `json:"restrictions,omitempty"`
	Rotation     *mytoken.Rotation    `json:"rotation,omitempty"`
	Update       string               `json:"updated_mytoken,omitempty"`
}

// print prints a mytoken, or the code that stands for one.
func (c *createCmd) print(s *session, got mytoken.Issued, h *held) error {
	value := got.Token
	if value.Empty() {
		value = got.TransferCode
	}
	if c.Out != "" || !s.cmd.JSON {
		return s.put(value, c.Out)
	}
	out := issuedJSON{
		Mytoken: got.Token.Expose(), TransferCode: got.TransferCode.Expose(), Kind: got.Kind, MOMID: got.MOMID,
		ExpiresAt: unix(got.Expires), Capabilities: got.Capabilities, Restrictions: got.Restrictions, Rotation: got.Rotation,
	}
	if h != nil {
		out.Update = h.latest.Expose()
	}
	return s.printJSON(out)
}

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
		h, err := s.fromFile(c.File)
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
		r.Capabilities = s.set.stored
		if len(r.Capabilities) == 0 {
			r.Capabilities = mytoken.Capabilities{"AT", "create_mytoken", "tokeninfo"}
		}
	}
	if r.Name == "" {
		r.Name = s.tokenName(c.Name)
	}
	if r.Issuer, err = s.provider(ctx, cl.Server(), c.wanted(s)); err != nil {
		return got, server, "", err
	}
	r.ResponseType = mytoken.KindToken
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

// provider finds the issuer of a provider: by its issuer, its name in the configuration or at the server, or because it
// is the only one; at last by asking.
func (s *session) provider(ctx context.Context, srv *mytoken.Server, name string) (string, error) {
	name = cmp.Or(name, s.set.provider)
	if issuer, ok := s.set.issuer(name); ok {
		name = issuer
	}
	if name == "" {
		return s.anyProvider(ctx, srv)
	}
	var found []string
	for _, p := range srv.Providers {
		if mytoken.SameIssuer(p.Issuer, name) {
			return p.Issuer, nil
		}
		if strings.EqualFold(p.Name, name) {
			found = append(found, p.Issuer)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(srv.Providers) == 0 && strings.Contains(name, "://") {
		return name, nil
	}
	return "", cli.Fail(cli.NotFound, fmt.Errorf("the mytoken server %s has no provider %s", srv.Issuer, name),
		"see those it has with: mytoken list providers")
}

func (s *session) anyProvider(ctx context.Context, srv *mytoken.Server) (string, error) {
	switch {
	case len(srv.Providers) == 1:
		return srv.Providers[0].Issuer, nil
	case len(srv.Providers) == 0:
		return "", cli.Failf(cli.NotFound, "the mytoken server %s names no providers", srv.Issuer)
	case !term.Usable():
		return "", cli.Fail(cli.Usage, errors.New("the mytoken server has several providers"), "choose one with -i")
	}
	question := "Providers:\n"
	for i, p := range srv.Providers {
		question += fmt.Sprintf("  %d  %s  %s\n", i+1, oneLine(p.Issuer), oneLine(p.Name))
	}
	if err := term.Show(question); err != nil {
		return "", err
	}
	answer, err := term.Line(ctx, "Which one? ")
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil || n < 1 || n > len(srv.Providers) {
		return "", cli.Failf(cli.Usage, "there is no provider of that number")
	}
	return srv.Providers[n-1].Issuer, nil
}

// logIn sends the person to the consent page and waits.
func (s *session) logIn(ctx context.Context, cl *mytoken.Client, r mytoken.Request) (mytoken.Issued, error) {
	w, err := cl.Start(ctx, r)
	if err != nil {
		return mytoken.Issued{}, err
	}
	defer w.Code.Wipe()
	s.env.Note("Open this page in a browser, say what the mytoken may be used for, and log in:\n\n  %s\n", w.URI)
	if cli.IsTerminal(s.env.Stderr) {
		_ = term.ShowQR(w.URI, s.env.Getenv("NO_COLOR") == "" && !s.cmd.NoColor) // the link is there in any case
	}
	s.env.Note("Waiting up to %v ...", w.Expires.Sub(s.env.Now()).Round(1e9))
	return cl.Wait(ctx, w)
}

type transferCmd struct {
	root *Cmd
	source
}

// Run makes a transfer code.
func (c *transferCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		h, err := s.held(ctx, c.source)
		if err != nil {
			return err
		}
		defer h.wipe()
		cl, err := s.client(ctx, h)
		if err != nil {
			return err
		}
		t, err := cl.Transfer(ctx, h.text)
		if err != nil {
			return err
		}
		defer t.Code.Wipe()
		if s.cmd.JSON {
			return s.printJSON(issuedJSON{
				TransferCode: t.Code.Expose(), Kind: mytoken.KindTransferCode, ExpiresAt: unix(t.Expires),
			})
		}
		return s.printSecret(t.Code)
	})
}
