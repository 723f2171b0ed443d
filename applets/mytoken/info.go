package mytoken

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type infoCmd struct {
	Show       showCmd       `cmd:"" name:"show" default:"withargs" help:"Show what stands in a mytoken, without the server."`
	Introspect introspectCmd `cmd:"" name:"introspect" help:"Ask the server what it says of a mytoken."`
	History    historyCmd    `cmd:"" name:"history" help:"What happened to a mytoken."`
	Subtokens  subtokensCmd  `cmd:"" name:"subtokens" aliases:"token-tree,tree" help:"The mytokens that were made from one."`
	List       infoListCmd   `cmd:"" name:"list" aliases:"list-mytokens" help:"All your mytokens."`
	Notify     infoNotifyCmd `cmd:"" name:"notifications" help:"What you are told of a mytoken, and the calendars it is in."`
}

// with runs work with a mytoken at hand and a client of its server.
func (c *Cmd) with(
	ctx context.Context, env *cli.Env, src source, work func(*session, *mytoken.Client, *held) error,
) error {
	return c.run(env, func(s *session) error {
		h, err := s.held(ctx, src)
		if err != nil {
			return err
		}
		defer h.wipe()
		cl, err := s.client(ctx, h)
		if err != nil {
			return err
		}
		if err := work(s, cl, h); err != nil {
			return err
		}
		if !h.latest.Empty() && s.cmd.JSON { // the JSON of these answers has no place for it
			s.rescue(h.latest)
		}
		return nil
	})
}

type introspectCmd struct {
	root *Cmd
	source
}

// Run prints what the server says of a mytoken.
func (c *introspectCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		info, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Info, *mytoken.Issued, error) {
			info, err := cl.Introspect(ctx, mt)
			return info, info.Update, err
		})
		if err != nil {
			return err
		}
		token, err := json.Marshal(info.Claims)
		if err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
		if err := s.printJSON(struct {
			Valid bool            `json:"valid"`
			Kind  string          `json:"token_type"`
			MOMID string          `json:"mom_id"`
			Token json.RawMessage `json:"token"`
		}{info.Valid, info.Kind, info.MOMID, token}); err != nil {
			return err
		}
		if !info.Valid {
			return cli.Exit(cli.No)
		}
		return nil
	})
}

type historyCmd struct {
	root *Cmd
	source
	MOMID    []string `name:"mom-id" aliases:"MOM-ID,mom,MOM" sep:"none" placeholder:"ID" help:"Of these mytokens; may be repeated."`
	Children bool     `name:"include-children" help:"And of those that were made from it."`
}

type eventOut struct {
	Event     string `json:"event"`
	Time      int64  `json:"time"`
	Comment   string `json:"comment,omitempty"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	MOMID     string `json:"mom_id"`
}

// Run prints the history of a mytoken, newest first.
func (c *historyCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		ids := c.MOMID
		if c.Children {
			ids = withChildren(ids)
		}
		events, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Event, *mytoken.Issued, error) {
			return cl.History(ctx, mt, ids...)
		})
		if err != nil {
			return err
		}
		out := make([]eventOut, 0, len(events))
		rows := [][]string{{"TIME", "EVENT", "COMMENT", "ADDRESS", "PROGRAM"}}
		for _, e := range events {
			out = append(out, eventOut{e.Event, unix(e.Time), e.Comment, e.IP, e.UserAgent, e.MOMID})
			rows = append(rows, []string{timeText(e.Time, "-"), e.Event, e.Comment, e.IP, e.UserAgent})
		}
		if s.cmd.JSON {
			return s.printJSON(out)
		}
		return s.table(rows)
	})
}

// withChildren adds the children of each, or of the mytoken that is used.
func withChildren(ids []string) []string {
	if len(ids) == 0 {
		return []string{"this", "children"}
	}
	out := append([]string(nil), ids...)
	for _, id := range ids {
		out = append(out, "children@"+id)
	}
	return out
}

type subtokensCmd struct {
	root *Cmd
	source
}

// Run prints the tree below a mytoken.
func (c *subtokensCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		tree, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Tree, *mytoken.Issued, error) {
			return cl.Subtokens(ctx, mt)
		})
		if err != nil {
			return err
		}
		return s.printTrees([]mytoken.Tree{tree}, true)
	})
}

type infoListCmd struct {
	root *Cmd
	source
	IDs bool `name:"include-mom-id" help:"With the ids that revoke and history take."`
}

// Run prints all mytokens of the person.
func (c *infoListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		trees, err := ask(ctx, s, h, func(mt secret.Text) ([]mytoken.Tree, *mytoken.Issued, error) {
			return cl.List(ctx, mt)
		})
		if err != nil {
			return err
		}
		return s.printTrees(trees, c.IDs)
	})
}

type treeOut struct {
	MOMID    string    `json:"mom_id"`
	Name     string    `json:"name"`
	IP       string    `json:"ip"`
	Created  int64     `json:"created"`
	Expires  int64     `json:"expires_at,omitempty"`
	Children []treeOut `json:"children,omitempty"`
}

func (s *session) printTrees(trees []mytoken.Tree, ids bool) error {
	if s.cmd.JSON {
		return s.printJSON(treesOut(trees))
	}
	head := []string{"NAME", "CREATED", "EXPIRES", "FROM"}
	if ids {
		head = append(head, "ID")
	}
	rows := [][]string{head}
	var add func([]mytoken.Tree, int)
	add = func(list []mytoken.Tree, depth int) {
		for _, t := range list {
			row := []string{
				strings.Repeat("  ", depth) + cmp.Or(t.Name, "(no name)"), timeText(t.Created, "-"),
				timeText(t.Expires, "never"), t.IP,
			}
			if ids {
				row = append(row, t.MOMID)
			}
			rows = append(rows, row)
			add(t.Children, depth+1)
		}
	}
	add(trees, 0)
	return s.table(rows)
}

func treesOut(trees []mytoken.Tree) []treeOut {
	out := make([]treeOut, 0, len(trees))
	for _, t := range trees {
		out = append(out, treeOut{t.MOMID, t.Name, t.IP, unix(t.Created), unix(t.Expires), treesOut(t.Children)})
	}
	return out
}
