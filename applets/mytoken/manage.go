package mytoken

import (
	"context"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

type revokeCmd struct {
	root *Cmd
	source
	Recursive bool   `short:"r" help:"And all mytokens that were made from it."`
	MOMID     string `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Another mytoken of yours, by its id."`
}

// Run ends a mytoken. A stored one is forgotten as well.
func (c *revokeCmd) Run(ctx context.Context, env *cli.Env) error {
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
		err = s.use(ctx, h, func(mt secret.Text) (*mytoken.Issued, error) {
			return cl.Revoke(ctx, mytoken.Revocation{Token: mt, MOMID: c.MOMID, Recursive: c.Recursive})
		})
		if err != nil {
			return err
		}
		if h.name != "" && c.MOMID == "" {
			if err := s.admin.RemoveLogin(ctx, h.name); err != nil {
				return err
			}
			env.Note("mytoken %s is revoked and no longer stored", h.name)
			return nil
		}
		env.Note("revoked")
		return nil
	})
}

type listCmd struct {
	Providers providersCmd `cmd:"" name:"providers" aliases:"issuers" help:"Providers of the mytoken server."`
	Tokens    tokensCmd    `cmd:"" name:"tokens" help:"Stored mytokens."`
}

type providersCmd struct{ root *Cmd }

// Run lists the providers of the server.
func (c *providersCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		cl, err := s.clientOf(ctx, s.server())
		if err != nil {
			return err
		}
		type provider struct {
			Issuer string   `json:"issuer"`
			Name   string   `json:"name,omitempty"`
			Scopes []string `json:"scopes_supported"`
		}
		out := []provider{}
		rows := [][]string{{"ISSUER", "NAME"}}
		for _, p := range cl.Server().Providers {
			out = append(out, provider{p.Issuer, p.Name, append([]string{}, p.Scopes...)})
			rows = append(rows, []string{p.Issuer, p.Name})
		}
		if s.cmd.JSON {
			return s.printJSON(out)
		}
		return s.table(rows)
	})
}

type tokensCmd struct{ root *Cmd }

// Run lists the stored mytokens.
func (c *tokensCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		list, err := s.logins(ctx)
		if err != nil {
			return err
		}
		type stored struct {
			Name   string `json:"name"`
			Issuer string `json:"issuer"`
			Server string `json:"server"`
			Ended  bool   `json:"needs_login,omitempty"`
		}
		out := []stored{}
		rows := [][]string{{"NAME", "ISSUER", "SERVER", "STATE"}}
		for _, l := range list {
			out = append(out, stored{l.Name, l.Issuer, l.MytokenURL, l.NeedsLogin})
			rows = append(rows, []string{l.Name, l.Issuer, l.MytokenURL, stateOf(l)})
		}
		if s.cmd.JSON {
			return s.printJSON(out)
		}
		return s.table(rows)
	})
}

func stateOf(l control.Login) string {
	switch {
	case l.NeedsLogin:
		return "ended"
	case !l.Stored:
		return "until the agent ends"
	}
	return "stored"
}

type renameCmd struct {
	root *Cmd
	Old  string `arg:"" help:"Name of a stored mytoken."`
	New  string `arg:"" help:"New name."`
}

// Run gives a stored mytoken another name. It is there under the new one before it goes from under the old one.
func (c *renameCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		if err := login.CheckName(c.New); err != nil {
			return cli.Fail(cli.Usage, err, "")
		}
		h, err := s.stored(ctx, c.Old)
		if err != nil {
			return err
		}
		defer h.wipe()
		if c.New == c.Old {
			return nil
		}
		if err := s.free(ctx, c.New, false); err != nil {
			return err
		}
		cfg, err := s.export(ctx, c.Old)
		if err != nil {
			return err
		}
		defer cfg.Wipe()
		cfg.Name = c.New
		if err := s.replace(ctx, cfg); err != nil {
			return err
		}
		return s.admin.RemoveLogin(ctx, c.Old)
	})
}

type profilesCmd struct {
	root  *Cmd
	Kind  string `arg:"" optional:"" enum:"groups,list,profiles,capabilities,restrictions,rotation,list-all" default:"list-all" help:"groups, profiles (or list), capabilities, restrictions, rotation; all of them without a word."`
	Group string `placeholder:"GROUP" help:"Of one group."`
}

type templateOut struct {
	Group   string `json:"group"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Payload any    `json:"payload"`
}

// Run lists profiles and templates.
func (c *profilesCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		cl, err := s.clientOf(ctx, s.server())
		if err != nil {
			return err
		}
		groups := []string{c.Group}
		if c.Group == "" {
			if groups, err = cl.TemplateGroups(ctx); err != nil {
				return err
			}
		}
		if c.Kind == "groups" {
			return s.printGroups(groups)
		}
		out := []templateOut{}
		for _, group := range groups {
			for _, kind := range c.kinds() {
				list, err := cl.Templates(ctx, group, kind)
				if err != nil {
					return err
				}
				for _, t := range list {
					out = append(out, templateOut{group, kind, t.Name, t.Payload})
				}
			}
		}
		return s.printTemplates(out)
	})
}

func (c *profilesCmd) kinds() []string {
	switch c.Kind {
	case "list-all":
		return []string{
			mytoken.Profiles, mytoken.CapabilityTemplates, mytoken.RestrictionTemplates, mytoken.RotationTemplates,
		}
	case "list":
		return []string{mytoken.Profiles}
	}
	return []string{c.Kind}
}

func (s *session) printGroups(groups []string) error {
	if s.cmd.JSON {
		return s.printJSON(append([]string{}, groups...))
	}
	for _, g := range groups {
		if err := s.line("%s", oneLine(g)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) printTemplates(list []templateOut) error {
	if s.cmd.JSON {
		return s.printJSON(list)
	}
	rows := [][]string{{"KIND", "NAME", "WHAT"}}
	for _, t := range list {
		name := t.Name
		if t.Group != mytoken.DefaultGroup {
			name = t.Group + "/" + name
		}
		rows = append(rows, []string{t.Kind, name, compact(t.Payload)})
	}
	return s.table(rows)
}

type capabilitiesCmd struct{ root *Cmd }

// Run lists the capabilities there are; nothing is sent.
func (c *capabilitiesCmd) Run(_ context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		type capability struct {
			Name        string `json:"name"`
			ReadOnly    string `json:"read_only,omitempty"`
			Description string `json:"description"`
		}
		out := []capability{}
		rows := [][]string{{"CAPABILITY", "WHAT IT ALLOWS"}}
		for _, k := range rules.KnownCapabilities() {
			e := capability{Name: k.Name, Description: k.Description}
			name := k.Name
			if k.ReadOnly {
				e.ReadOnly = rules.ReadOnly + k.Name
				name += " (" + e.ReadOnly + ")"
			}
			out, rows = append(out, e), append(rows, []string{name, k.Description})
		}
		if s.cmd.JSON {
			return s.printJSON(out)
		}
		return s.table(rows)
	})
}
