package mytoken

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type calendarsCmd struct {
	List        calendarsListCmd        `cmd:"" name:"list" help:"List the calendars."`
	Create      calendarsCreateCmd      `cmd:"" name:"create" help:"Make a calendar."`
	Update      calendarsUpdateCmd      `cmd:"" name:"update" help:"Give a calendar another description or other tags."`
	Delete      calendarsDeleteCmd      `cmd:"" name:"delete" help:"Delete a calendar."`
	Subscribe   calendarsSubscribeCmd   `cmd:"" name:"subscribe" help:"Put the end of a mytoken into a calendar."`
	Unsubscribe calendarsUnsubscribeCmd `cmd:"" name:"unsubscribe" help:"Take a mytoken out of a calendar."`
}

func (c *calendarsCmd) link(root *Cmd) {
	c.List.root, c.Create.root, c.Update.root, c.Delete.root = root, root, root, root
	c.Subscribe.root, c.Unsubscribe.root = root, root
}

// calendarOut is a calendar as JSON.
type calendarOut struct {
	ID     string   `json:"id,omitempty"`
	Name   string   `json:"name"`
	URL    string   `json:"ics_path"`
	MOMIDs []string `json:"subscribed_tokens,omitempty"`
	Tags   []string `json:"tags,omitempty"`
}

type calendarsListCmd struct {
	root *Cmd
	source
}

// Run lists calendars.
func (c *calendarsListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		list, err := s.calendars(ctx, cl, h)
		if err != nil {
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

func (s *session) calendars(ctx context.Context, cl *mytoken.Client, h *held) ([]mytoken.Calendar, error) {
	return ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Calendar, *mytoken.Issued, error) {
		return cl.Calendars(ctx, mt)
	})
}

type calendarsCreateCmd struct {
	root *Cmd
	source
	Name        string   `arg:"" optional:"" help:"Name of the calendar."`
	Description string   `placeholder:"TEXT" help:"The same, as newer versions call it."`
	Tags        []string `placeholder:"TAG" help:"Mytokens with one of these tags are in it."`
	Interactive bool     `help:"Ask at the terminal for name and tags."`
}

// Run makes a calendar and prints where its feed is.
func (c *calendarsCreateCmd) Run(ctx context.Context, env *cli.Env) error {
	name := c.Name
	if name == "" {
		name = c.Description
	}
	if name == "" && !c.Interactive {
		return cli.Failf(cli.Usage, "the calendar needs a name")
	}
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		tags := c.Tags
		if c.Interactive {
			var err error
			if name, err = typed(ctx, "Name of the calendar", name); err != nil {
				return err
			}
			if tags, err = s.chooseTags(ctx, cl, h, tags); err != nil {
				return err
			}
		}
		k, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Calendar, *mytoken.Issued, error) {
			return cl.AddCalendar(ctx, mt, name, tags...)
		})
		if err != nil {
			return err
		}
		if s.cmd.JSON {
			return s.printJSON(calendarOut(k))
		}
		return s.line("%s", oneLine(k.URL))
	})
}

// typed asks for a line; Enter keeps now.
func typed(ctx context.Context, what, now string) (string, error) {
	if !term.Usable() {
		return "", cli.Failf(cli.Usage, "--interactive needs a terminal")
	}
	question := what + ": "
	if now != "" {
		question = what + " [" + oneLine(now) + "]: "
	}
	answer, err := term.Line(ctx, question)
	if answer == "" {
		answer = now
	}
	if err == nil && answer == "" {
		err = cli.Failf(cli.Usage, "the calendar needs a name")
	}
	return answer, err
}

// chooseTags lets a person choose among the tags there are, at a server that has tags.
func (s *session) chooseTags(ctx context.Context, cl *mytoken.Client, h *held, now []string) ([]string, error) {
	list, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Tag, *mytoken.Issued, error) { return cl.Tags(ctx, mt) })
	if err != nil {
		s.env.Warn("tags cannot be chosen: %v", err)
		return now, nil
	}
	words := slices.Clone(now)
	for _, t := range list {
		if !slices.Contains(words, t.Name) {
			words = append(words, t.Name)
		}
	}
	if len(words) == 0 {
		return now, nil
	}
	return choose(ctx, "Mytokens with one of these tags are in it:", words, now)
}

type calendarsUpdateCmd struct {
	root *Cmd
	source
	Calendar    string   `arg:"" help:"Id or name of the calendar."`
	Description *string  `placeholder:"TEXT" help:"Its new description."`
	Tags        []string `placeholder:"TAG" help:"All tags that it is to have; an empty one for none."`
	AddTags     []string `name:"add-tags" placeholder:"TAG" help:"Tags to add."`
	DropTags    []string `name:"remove-tags" placeholder:"TAG" help:"Tags to take away."`
	Interactive bool     `help:"Ask at the terminal."`
}

// Run changes a calendar.
func (c *calendarsUpdateCmd) Run(ctx context.Context, env *cli.Env) error {
	tags := edit{all: c.Tags, add: c.AddTags, drop: c.DropTags}
	if tags.empty() && c.Description == nil && !c.Interactive {
		return cli.Failf(cli.Usage, "there is nothing to change: give --description, --tags, --add-tags or --remove-tags")
	}
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		to := mytoken.CalendarChange{Description: c.Description}
		var now mytoken.Calendar
		if tags.relative() || c.Interactive {
			list, err := s.calendars(ctx, cl, h)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(list, func(k mytoken.Calendar) bool { return k.ID == c.Calendar || k.Name == c.Calendar })
			if at < 0 {
				return cli.Failf(cli.NotFound, "there is no calendar %s", c.Calendar)
			}
			now = list[at]
		}
		to.Tags = tags.of(now.Tags)
		if c.Interactive {
			if err := c.ask(ctx, s, cl, h, now, &to); err != nil {
				return err
			}
		}
		return s.use(ctx, h, func(mt secret.Text) (*mytoken.Issued, error) {
			return cl.ChangeCalendar(ctx, mt, c.Calendar, to)
		})
	})
}

func (c *calendarsUpdateCmd) ask(
	ctx context.Context, s *session, cl *mytoken.Client, h *held, now mytoken.Calendar, to *mytoken.CalendarChange,
) error {
	name, err := typed(ctx, "Name of the calendar", now.Name)
	if err != nil {
		return err
	}
	if name != now.Name {
		to.Description = &name
	}
	if to.Tags == nil {
		to.Tags = now.Tags
	}
	to.Tags, err = s.chooseTags(ctx, cl, h, to.Tags)
	return err
}

type calendarsDeleteCmd struct {
	root *Cmd
	source
	Calendar string `arg:"" help:"Name or id of the calendar."`
	Force    bool   `short:"f" help:"Do not ask."`
}

// Run deletes a calendar. At a terminal it asks first: whoever has subscribed to the feed loses it.
func (c *calendarsDeleteCmd) Run(ctx context.Context, env *cli.Env) error {
	if !c.Force && term.Usable() {
		answer, err := term.Line(ctx, "Delete the calendar "+oneLine(c.Calendar)+", for all who read it? [y/N] ")
		if err != nil || !strings.HasPrefix(strings.ToLower(answer), "y") {
			return errors.Join(err, cli.Failf(cli.No, "the calendar stays"))
		}
	}
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.RemoveCalendar(ctx, mt, c.Calendar)
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
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.Subscribe(ctx, mt, c.Calendar, c.MOMID, c.Comment)
		})
}

type calendarsUnsubscribeCmd struct {
	root *Cmd
	source
	Calendar string `arg:"" help:"Id of the calendar."`
	MOMID    string `name:"mom-id" aliases:"MOM-ID,mom,MOM" placeholder:"ID" help:"Another mytoken of yours, by its id."`
}

// Run takes a mytoken out of a calendar: the one that is used, where no other one is named.
func (c *calendarsUnsubscribeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		id := c.MOMID
		if id == "" {
			var err error
			if id, err = s.momID(ctx, cl, h); err != nil {
				return err
			}
		}
		return s.use(ctx, h, func(mt secret.Text) (*mytoken.Issued, error) {
			return cl.Unsubscribe(ctx, mt, c.Calendar, id)
		})
	})
}

// momID is the id of the mytoken at hand: what it says itself, else what the server says of it.
func (s *session) momID(ctx context.Context, cl *mytoken.Client, h *held) (string, error) {
	return ask(ctx, s, h, func(mt secret.Text) (string, *mytoken.Issued, error) {
		if c, err := mytoken.ReadClaims(mt); err == nil && c.MOMID() != "" {
			return c.MOMID(), nil, nil
		}
		info, err := cl.Introspect(ctx, mt)
		return info.MOMID, info.Update, err
	})
}
