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

// Run lists notifications, with the codes that manage them.
func (c *notifyListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		list, update, err := cl.Notifications(ctx, h.text)
		if err := s.settled(ctx, h, update, err); err != nil {
			return err
		}
		type notification struct {
			Type     string   `json:"notification_type"`
			Code     string   `json:"management_code"`
			UserWide bool     `json:"user_wide"`
			Classes  []string `json:"notification_classes"`
			MOMIDs   []string `json:"subscribed_tokens,omitempty"`
		}
		out, rows := []notification{}, [][]string{{"TYPE", "ABOUT", "CLASSES", "CODE"}}
		for _, n := range list {
			about := strings.Join(n.MOMIDs, " ")
			if n.UserWide {
				about = "all mytokens"
			}
			out = append(out, notification{n.Type, n.Code.Expose(), n.UserWide, n.Classes, n.MOMIDs})
			rows = append(rows, []string{n.Type, about, strings.Join(n.Classes, " "), n.Code.Expose()})
		}
		return s.show(out, rows)
	})
}

type notifyCreateCmd struct {
	root *Cmd
	source
	Type     string   `enum:"mail,ics_invite" default:"mail" placeholder:"TYPE" help:"mail, or ics_invite for an invitation to its end."`
	Classes  []string `name:"classes" placeholder:"CLASS" help:"What to be told: AT_creations, subtoken_creations, setting_changes, security, expiration."`
	MOMID    string   `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Of another mytoken of yours, by its id."`
	Children bool     `name:"include-children" help:"And of those that were made from it."`
	UserWide bool     `name:"user-wide" help:"Of all your mytokens."`
	Comment  string   `placeholder:"TEXT" help:"Stands in the mails."`
}

// Run makes a notification and prints the code that manages it.
func (c *notifyCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.Type == mytoken.NotifyMail && len(c.Classes) == 0 {
		return cli.Failf(cli.Usage, "say what to be told, with --classes")
	}
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		code, update, err := cl.Notify(ctx, h.text, mytoken.NotificationRequest{
			Type: c.Type, Classes: c.Classes, MOMID: c.MOMID, IncludeChildren: c.Children, UserWide: c.UserWide,
			Comment: c.Comment,
		})
		if err := s.settled(ctx, h, update, err); err != nil {
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
		cl, err := s.clientOf(ctx, s.server())
		if err != nil {
			return err
		}
		return work(cl, secret.FromString(m.Code))
	})
}

type notifyUpdateCmd struct {
	root *Cmd
	managed
	Classes []string `name:"classes" required:"" placeholder:"CLASS" help:"What to be told from now on."`
}

// Run changes what a notification tells.
func (c *notifyUpdateCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.run(ctx, c.root, env, func(cl *mytoken.Client, code secret.Text) error {
		return cl.SetNotificationClasses(ctx, code, c.Classes)
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
	return root.with(ctx, env, a.source, func(_ *session, cl *mytoken.Client, h *held) error {
		t.Token = h.text
		return cl.NotifyOf(ctx, secret.FromString(a.Code), t)
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

type calendarsCmd struct {
	List      calendarsListCmd      `cmd:"" name:"list" help:"List the calendars."`
	Create    calendarsCreateCmd    `cmd:"" name:"create" help:"Make a calendar."`
	Delete    calendarsDeleteCmd    `cmd:"" name:"delete" help:"Delete a calendar."`
	Subscribe calendarsSubscribeCmd `cmd:"" name:"subscribe" help:"Put the end of a mytoken into a calendar."`
}

func (c *calendarsCmd) link(root *Cmd) {
	c.List.root, c.Create.root, c.Delete.root, c.Subscribe.root = root, root, root, root
}

type calendarOut struct {
	ID     string   `json:"id,omitempty"`
	Name   string   `json:"name"`
	URL    string   `json:"ics_path"`
	MOMIDs []string `json:"subscribed_tokens,omitempty"`
}

type calendarsListCmd struct {
	root *Cmd
	source
}

// Run lists calendars.
func (c *calendarsListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		list, update, err := cl.Calendars(ctx, h.text)
		if err := s.settled(ctx, h, update, err); err != nil {
			return err
		}
		out, rows := []calendarOut{}, [][]string{{"NAME", "ID", "FEED"}}
		for _, k := range list {
			out = append(out, calendarOut(k))
			rows = append(rows, []string{k.Name, k.ID, k.URL})
		}
		return s.show(out, rows)
	})
}

type calendarsCreateCmd struct {
	root *Cmd
	source
	Name string `arg:"" help:"Name of the calendar."`
}

// Run makes a calendar and prints where its feed is.
func (c *calendarsCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		k, update, err := cl.AddCalendar(ctx, h.text, c.Name)
		if err := s.settled(ctx, h, update, err); err != nil {
			return err
		}
		if s.cmd.JSON {
			return s.printJSON(calendarOut(k))
		}
		return s.line("%s", oneLine(k.URL))
	})
}

type calendarsDeleteCmd struct {
	root *Cmd
	source
	Calendar string `arg:"" help:"Name or id of the calendar."`
}

// Run deletes a calendar.
func (c *calendarsDeleteCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(_ *session, cl *mytoken.Client, h *held) (*mytoken.Issued, error) {
			return cl.RemoveCalendar(ctx, h.text, c.Calendar)
		})
}

type calendarsSubscribeCmd struct {
	root *Cmd
	source
	Calendar string `arg:"" help:"Name or id of the calendar."`
	MOMID    string `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Another mytoken of yours, by its id."`
	Comment  string `placeholder:"TEXT" help:"Stands in the entry."`
}

// Run puts a mytoken into a calendar.
func (c *calendarsSubscribeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.change(ctx, env, c.source,
		func(_ *session, cl *mytoken.Client, h *held) (*mytoken.Issued, error) {
			return cl.Subscribe(ctx, h.text, c.Calendar, c.MOMID, c.Comment)
		})
}
