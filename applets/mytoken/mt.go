package mytoken

import (
	"context"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type mtCmd struct {
	Create   createCmd   `cmd:"" name:"create" default:"withargs" help:"Get a mytoken and print it (the same without the word)."`
	Store    storeCmd    `cmd:"" name:"store" help:"Get a mytoken and store it under a name."`
	List     infoListCmd `cmd:"" name:"list-mytokens" help:"List all your mytokens, as the server knows them."`
	Tags     mtTagsCmd   `cmd:"" name:"tags" help:"Put tags on mytokens."`
	Transfer transferCmd `cmd:"" name:"transfer" help:"Make a code with which another machine gets the same mytoken."`
}

// login are the options of a login at a provider.
type loginOptions struct {
	OIDC     bool   `name:"oidc" help:"Log in at a provider, whatever mytoken there may be."`
	Device   bool   `name:"device" help:"Log in with a code at the provider's own page; no browser comes back to the server."`
	Provider string `name:"provider" short:"i" aliases:"issuer" placeholder:"PROVIDER" help:"Issuer of the provider, or its name (MYTOKEN_PROVIDER)."`
}

type createCmd struct {
	root *Cmd
	source
	limits
	loginOptions
	Name  string   `name:"name" short:"n" aliases:"tag" help:"Name of the new mytoken."`
	TC    string   `name:"TC" aliases:"tc" placeholder:"CODE" help:"Redeem a transfer code (MYTOKEN_TC)."`
	Kind  string   `name:"token-type" enum:"token,short,transfer,short_token,transfer_code" default:"token" placeholder:"KIND" help:"token, short or transfer."`
	Tags  []string `name:"tags" placeholder:"TAG" help:"Put these tags on it; may be repeated."`
	Out   string   `short:"o" placeholder:"FILE" help:"Put it into a file that only you can read."`
	Check bool     `name:"check" help:"Only show what would be asked for."`
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
		case c.OIDC || c.Device || c.Provider != "":
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
	r, err := c.request(s, cl.Server())
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
	r.Device = c.Device
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
	got, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Issued, *mytoken.Issued, error) {
		got, err := cl.Subtoken(ctx, mt, r)
		return got, got.Update, err
	})
	defer got.Wipe()
	if err != nil {
		return err
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
		r.Capabilities = s.set.printedCapabilities()
	}
	if c.Name != "" {
		r.Name = s.tokenName(c.Name)
	}
	for _, tag := range c.Tags {
		r.Tags = append(r.Tags, mytoken.RequestTag{Tag: tag})
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
		t, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Transfer, *mytoken.Issued, error) {
			t, err := cl.Transfer(ctx, mt)
			return t, nil, err
		})
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
