package mytoken

import (
	"context"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type notificationsCmd struct {
	List   notifyListCmd   `cmd:"" name:"list" help:"List the notifications."`
	Create notifyCreateCmd `cmd:"" name:"create" help:"Be told what happens to a mytoken."`
	Update notifyUpdateCmd `cmd:"" name:"update" help:"Be told something else."`
	Delete notifyDeleteCmd `cmd:"" name:"delete" help:"End a notification."`
	Add    notifyAddCmd    `cmd:"" name:"add-token" help:"Be told of one more mytoken."`
	Remove notifyRemoveCmd `cmd:"" name:"remove-token" help:"No longer be told of a mytoken."`
}

func (c *notificationsCmd) link(root *Cmd) {
	c.List.root, c.Create.root, c.Update.root, c.Delete.root = root, root, root, root
	c.Add.root, c.Remove.root = root, root
}

type notifyListCmd struct {
	root *Cmd
	source
}

// notificationOut is a notification as JSON.
type notificationOut struct {
	Type     string   `json:"notification_type"`
	Code     string   `json:"management_code"`
	UserWide bool     `json:"user_wide"`
	Classes  []string `json:"notification_classes"`
	MOMIDs   []string `json:"subscribed_tokens,omitempty"`
	Tags     []string `json:"tags,omitempty"`
}

func notificationOf(n mytoken.Notification) notificationOut {
	return notificationOut{n.Type, n.Code.Expose(), n.UserWide, n.Classes, n.MOMIDs, n.Tags}
}

// Run lists notifications, with the codes that manage them.
func (c *notifyListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		list, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Notification, *mytoken.Issued, error) {
			return cl.Notifications(ctx, mt)
		})
		if err != nil {
			return err
		}
		out, rows := []notificationOut{}, [][]string{{"TYPE", "ABOUT", "CLASSES", "CODE"}}
		for _, n := range list {
			about := strings.Join(n.MOMIDs, " ")
			for _, tag := range n.Tags {
				about = strings.TrimSpace(about + " tag:" + tag)
			}
			if n.UserWide {
				about = "all mytokens"
			}
			out = append(out, notificationOf(n))
			rows = append(rows, []string{n.Type, about, strings.Join(n.Classes, " "), n.Code.Expose()})
		}
		return s.show(out, rows)
	})
}

type notifyCreateCmd struct {
	root *Cmd
	source
	Type        string   `enum:"mail,ics_invite" default:"mail" placeholder:"TYPE" help:"mail, or ics_invite for an invitation to its end."`
	Classes     []string `name:"classes" placeholder:"CLASS" help:"What to be told: AT_creations, subtoken_creations, setting_changes, security, expiration."`
	MOMID       string   `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Of another mytoken of yours, by its id."`
	Children    bool     `name:"include-children" help:"And of those that were made from it."`
	UserWide    bool     `name:"user-wide" help:"Of all your mytokens."`
	Tags        []string `name:"tags" placeholder:"TAG" help:"Of mytokens with one of these tags."`
	Comment     string   `placeholder:"TEXT" help:"Stands in the mails."`
	Interactive bool     `help:"Ask at the terminal what to be told."`
}

// Run makes a notification and prints the code that manages it.
func (c *notifyCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.Type == mytoken.NotifyMail && len(c.Classes) == 0 && !c.Interactive {
		return cli.Failf(cli.Usage, "say what to be told, with --classes")
	}
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		classes := c.Classes
		if c.Interactive {
			var err error
			if classes, err = choose(ctx, "What to be told:", classList(), classes); err != nil {
				return err
			}
		}
		code, err := ask(ctx, s, h, func(mt secret.Text) (secret.Text, *mytoken.Issued, error) {
			return cl.Notify(ctx, mt, mytoken.NotificationRequest{
				Type: c.Type, Classes: classes, MOMID: c.MOMID, IncludeChildren: c.Children, UserWide: c.UserWide,
				Comment: c.Comment, Tags: c.Tags,
			})
		})
		if err != nil {
			return err
		}
		defer code.Wipe()
		switch {
		case s.cmd.JSON:
			return s.printJSON(map[string]string{"management_code": code.Expose()})
		case code.Empty():
			s.env.Note("an invitation is on its way")
			return nil
		}
		return s.printSecret(code)
	})
}

// managed is a notification, by the code that is all one needs to change it.
type managed struct {
	Code string `arg:"" help:"Its management code."`
}

func (m managed) run(
	ctx context.Context, root *Cmd, env *cli.Env, work func(*mytoken.Client, secret.Text) error,
) error {
	return root.run(env, func(s *session) error {
		cl, err := s.anyClient(ctx)
		if err != nil {
			return err
		}
		code := secret.FromString(m.Code)
		defer code.Wipe()
		return work(cl, code)
	})
}

type notifyUpdateCmd struct {
	root *Cmd
	managed
	Classes     []string `name:"classes" placeholder:"CLASS" help:"All that is to be told from now on."`
	AddClasses  []string `name:"add-classes" placeholder:"CLASS" help:"To be told as well."`
	DropClasses []string `name:"remove-classes" placeholder:"CLASS" help:"No longer to be told."`
	Tags        []string `name:"tags" placeholder:"TAG" help:"Of mytokens with one of these tags; an empty one for none."`
	AddTags     []string `name:"add-tags" placeholder:"TAG" help:"And of mytokens with these tags."`
	DropTags    []string `name:"remove-tags" placeholder:"TAG" help:"No longer of mytokens with these tags."`
	Interactive bool     `help:"Ask at the terminal what to be told."`
}

// Run changes what a notification tells.
func (c *notifyUpdateCmd) Run(ctx context.Context, env *cli.Env) error {
	classes := edit{all: c.Classes, add: c.AddClasses, drop: c.DropClasses}
	tags := edit{all: c.Tags, add: c.AddTags, drop: c.DropTags}
	if classes.empty() && tags.empty() && !c.Interactive {
		return cli.Failf(cli.Usage, "there is nothing to change: give --classes, --add-classes, --tags or --interactive")
	}
	return c.run(ctx, c.root, env, func(cl *mytoken.Client, code secret.Text) error {
		var now mytoken.Notification
		if c.Interactive || classes.relative() || tags.relative() {
			var err error
			if now, err = cl.Notification(ctx, code); err != nil {
				return err
			}
			defer now.Code.Wipe()
		}
		to := mytoken.NotificationChange{Classes: classes.of(now.Classes), Tags: tags.of(now.Tags)}
		if c.Interactive {
			var err error
			if to.Classes == nil {
				to.Classes = now.Classes
			}
			if to.Classes, err = choose(ctx, "What to be told:", classList(), to.Classes); err != nil {
				return err
			}
		}
		return cl.ChangeNotification(ctx, code, to)
	})
}

type notifyDeleteCmd struct {
	root *Cmd
	managed
}

// Run ends a notification.
func (c *notifyDeleteCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.run(ctx, c.root, env, func(cl *mytoken.Client, code secret.Text) error {
		return cl.EndNotification(ctx, code)
	})
}

// about says of which mytoken a notification is.
type about struct {
	source
	managed
	MOMID string `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Another mytoken of yours, by its id."`
}

func (a about) change(ctx context.Context, root *Cmd, env *cli.Env, t mytoken.NotificationToken) error {
	if t.MOMID = a.MOMID; t.MOMID != "" {
		return a.managed.run(ctx, root, env, func(cl *mytoken.Client, code secret.Text) error {
			return cl.NotifyOf(ctx, code, t)
		})
	}
	return root.with(ctx, env, a.source, func(s *session, cl *mytoken.Client, h *held) error {
		return s.use(ctx, h, func(mt secret.Text) (*mytoken.Issued, error) {
			t.Token = mt
			return nil, cl.NotifyOf(ctx, secret.FromString(a.Code), t)
		})
	})
}

type notifyAddCmd struct {
	root *Cmd
	about
	Children bool `name:"include-children" help:"And those that were made from it."`
}

// Run adds a mytoken to a notification.
func (c *notifyAddCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, c.root, env, mytoken.NotificationToken{IncludeChildren: c.Children})
}

type notifyRemoveCmd struct {
	root *Cmd
	about
}

// Run takes a mytoken from a notification.
func (c *notifyRemoveCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, c.root, env, mytoken.NotificationToken{Remove: true})
}
