package mytoken

import (
	"context"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type settingsCmd struct {
	Grants grantsCmd `cmd:"" name:"grants" help:"Ways of getting tokens: list them, switch them, keys of ssh."`
	Email  emailCmd  `cmd:"" name:"email" help:"Where mails about mytokens go."`
	Tags   tagsCmd   `cmd:"" name:"tags" help:"Tags for mytokens."`
}

func (c *settingsCmd) link(root *Cmd) {
	c.Grants.List.root, c.Grants.Enable.root, c.Grants.Disable.root = root, root, root
	c.Grants.SSH.List.root, c.Grants.SSH.Add.root, c.Grants.SSH.Delete.root = root, root, root
	c.Email.Get.root, c.Email.Update.root = root, root
	c.Tags.List.root, c.Tags.Create.root, c.Tags.Update.root, c.Tags.Delete.root = root, root, root, root
}

// change runs a request whose answer says nothing but that it was done.
func (c *Cmd) change(
	ctx context.Context, env *cli.Env, src source, work func(*mytoken.Client, secret.Text) (*mytoken.Issued, error),
) error {
	return c.with(ctx, env, src, func(s *session, cl *mytoken.Client, h *held) error {
		return s.use(ctx, h, func(mt secret.Text) (*mytoken.Issued, error) { return work(cl, mt) })
	})
}

type grantsCmd struct {
	List    grantsListCmd    `cmd:"" name:"list" help:"List the ways of getting tokens."`
	Enable  grantsEnableCmd  `cmd:"" name:"enable" help:"Switch one on."`
	Disable grantsDisableCmd `cmd:"" name:"disable" help:"Switch one off."`
	SSH     sshCmd           `cmd:"" name:"ssh" help:"Keys with which tokens can be got over ssh."`
}

type grantsListCmd struct {
	root *Cmd
	source
}

// Run lists the grants.
func (c *grantsListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		grants, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Grant, *mytoken.Issued, error) {
			return cl.Grants(ctx, mt)
		})
		if err != nil {
			return err
		}
		type grant struct {
			Type    string `json:"grant_type"`
			Enabled bool   `json:"enabled"`
		}
		out, rows := []grant{}, [][]string{{"GRANT", "ENABLED"}}
		for _, g := range grants {
			out, rows = append(out, grant(g)), append(rows, []string{g.Type, strconv.FormatBool(g.Enabled)})
		}
		return s.show(out, rows)
	})
}

// show prints a result as JSON or as a table.
func (s *session) show(out any, rows [][]string) error {
	if s.cmd.JSON {
		return s.printJSON(out)
	}
	return s.table(rows)
}

type grantsEnableCmd struct {
	root *Cmd
	source
	Grant string `arg:"" help:"The grant: ssh."`
}

// Run switches a grant on.
func (c *grantsEnableCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.SetGrant(ctx, mt, c.Grant, true)
		})
}

type grantsDisableCmd struct {
	root *Cmd
	source
	Grant string `arg:"" help:"The grant: ssh."`
}

// Run switches a grant off.
func (c *grantsDisableCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.SetGrant(ctx, mt, c.Grant, false)
		})
}

type emailCmd struct {
	Get    emailGetCmd    `cmd:"" name:"get" help:"Show address and form."`
	Update emailUpdateCmd `cmd:"" name:"update" help:"Change address or form."`
}

type emailGetCmd struct {
	root *Cmd
	source
}

// Run shows the settings of mails.
func (c *emailGetCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		e, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Email, *mytoken.Issued, error) {
			return cl.Email(ctx, mt)
		})
		if err != nil {
			return err
		}
		return s.show(struct {
			Address  string `json:"email_address"`
			Verified bool   `json:"email_verified"`
			HTML     bool   `json:"prefer_html_mail"`
		}(e), [][]string{
			{"ADDRESS", "VERIFIED", "HTML"},
			{e.Address, strconv.FormatBool(e.Verified), strconv.FormatBool(e.HTML)},
		})
	})
}

type emailUpdateCmd struct {
	root *Cmd
	source
	Email string `placeholder:"ADDRESS" help:"New address; a mail with a link to confirm it is sent there."`
	HTML  bool   `name:"html" help:"Mails in HTML."`
	Plain bool   `name:"plain" help:"Mails as plain text."`
}

// Run changes the settings of mails.
func (c *emailUpdateCmd) Run(ctx context.Context, env *cli.Env) error {
	var html *bool
	switch {
	case c.HTML && c.Plain:
		return cli.Failf(cli.Usage, "--html and --plain exclude each other")
	case c.HTML || c.Plain:
		html = &c.HTML
	case c.Email == "":
		return cli.Failf(cli.Usage, "there is nothing to change: give --email, --html or --plain")
	}
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.SetEmail(ctx, mt, c.Email, html)
		})
}

type tagsCmd struct {
	List   tagsListCmd   `cmd:"" name:"list" help:"List the tags."`
	Create tagsCreateCmd `cmd:"" name:"create" help:"Make a tag."`
	Update tagsUpdateCmd `cmd:"" name:"update" help:"Give a tag another name or colour."`
	Delete tagsDeleteCmd `cmd:"" name:"delete" help:"Delete a tag."`
}

type tagsListCmd struct {
	root *Cmd
	source
}

// Run lists the tags.
func (c *tagsListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		tags, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Tag, *mytoken.Issued, error) {
			return cl.Tags(ctx, mt)
		})
		if err != nil {
			return err
		}
		type tag struct {
			Name  string `json:"tag"`
			Color string `json:"color"`
		}
		out, rows := []tag{}, [][]string{{"TAG", "COLOUR"}}
		for _, t := range tags {
			out, rows = append(out, tag(t)), append(rows, []string{t.Name, t.Color})
		}
		return s.show(out, rows)
	})
}

type tagsCreateCmd struct {
	root *Cmd
	source
	Tag   string `arg:"" help:"The tag."`
	Color string `placeholder:"COLOUR" help:"As #rrggbb."`
}

// Run makes a tag.
func (c *tagsCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.AddTag(ctx, mt, mytoken.Tag{Name: c.Tag, Color: c.Color})
		})
}

type tagsUpdateCmd struct {
	root *Cmd
	source
	Tag     string `arg:"" help:"The tag."`
	NewName string `placeholder:"NAME" help:"Its new name."`
	Color   string `placeholder:"COLOUR" help:"Its new colour, as #rrggbb."`
}

// Run changes a tag.
func (c *tagsUpdateCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.NewName == "" && c.Color == "" {
		return cli.Failf(cli.Usage, "there is nothing to change: give --new-name or --color")
	}
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.ChangeTag(ctx, mt, c.Tag, mytoken.Tag{Name: c.NewName, Color: c.Color})
		})
}

type tagsDeleteCmd struct {
	root *Cmd
	source
	Tag string `arg:"" help:"The tag."`
}

// Run deletes a tag.
func (c *tagsDeleteCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.RemoveTag(ctx, mt, c.Tag)
		})
}

// mtTagsCmd marks mytokens.
type mtTagsCmd struct {
	Add    mtTagsAddCmd    `cmd:"" name:"add" help:"Put a tag on a mytoken."`
	Remove mtTagsRemoveCmd `cmd:"" name:"remove" help:"Take a tag off a mytoken."`
}

// tagging says which tag, and which mytoken.
type tagging struct {
	source
	Tag      string `arg:"" help:"The tag."`
	MOMID    string `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Another mytoken of yours, by its id."`
	Children bool   `name:"include-children" help:"And those that were made from it."`
}

func (t tagging) run(ctx context.Context, root *Cmd, env *cli.Env, remove bool) error {
	return root.change(ctx, env, t.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.Tag(ctx, mt, mytoken.Tagging{
				Tag: t.Tag, MOMID: t.MOMID, IncludeChildren: t.Children, Remove: remove,
			})
		})
}

type mtTagsAddCmd struct {
	root *Cmd
	tagging
}

// Run puts a tag on a mytoken.
func (c *mtTagsAddCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.run(ctx, c.root, env, false)
}

type mtTagsRemoveCmd struct {
	root *Cmd
	tagging
}

// Run takes a tag off a mytoken.
func (c *mtTagsRemoveCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.run(ctx, c.root, env, true)
}

// isFingerprint tells the fingerprint of a key from its line.
func isFingerprint(key string) bool { return strings.HasPrefix(key, "SHA256:") }
