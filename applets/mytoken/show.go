package mytoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

type showCmd struct {
	root *Cmd
	source
	Check bool `help:"Check signature, issuer and times with the keys of its server."`
}

// Run prints the claims of a mytoken. Nothing is sent, but with --check the server's keys are fetched; the mytoken
// itself goes nowhere.
func (c *showCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.root.SSH != "" {
		return (&introspectCmd{root: c.root, source: c.source}).Run(ctx, env)
	}
	return c.root.run(env, func(s *session) error {
		h, err := s.held(ctx, c.source)
		if err != nil {
			return err
		}
		defer h.wipe()
		mt, err := s.text(ctx, h)
		if err != nil {
			return err
		}
		defer mt.Wipe()
		claims, err := mytoken.ReadClaims(mt)
		if err != nil {
			return cli.Fail(cli.Usage, fmt.Errorf("what stands in it: %w", err),
				"a short mytoken has nothing in it; ask the server with: mytoken info introspect")
		}
		if c.Check {
			if err := s.check(ctx, mt, claims.Issuer); err != nil {
				return err
			}
		}
		return s.printJSON(claims)
	})
}

// check verifies a mytoken with the keys that its server publishes. Which server that has to be is not the mytoken's to
// say alone: one that was named on the command line is compared.
func (s *session) check(ctx context.Context, mt secret.Text, issuer string) error {
	if named := s.cmd.URL; named != "" && !mytoken.SameIssuer(named, issuer) {
		return cli.Fail(cli.No, fmt.Errorf("check the mytoken: %w: it says it is of %q", mint.ErrIssuer, oneLine(issuer)), "")
	}
	srv, err := mytoken.Discover(ctx, cachedGetter{http: s.http, env: s.env}, issuer)
	if err != nil {
		return err
	}
	if srv.JWKSURI == "" {
		return cli.Failf(cli.NotFound, "the mytoken server %s does not say where its keys are", srv.Issuer)
	}
	r, err := s.http.Get(ctx, srv.JWKSURI)
	if err != nil {
		return fmt.Errorf("fetch the keys of %s: %w", srv.Issuer, err)
	}
	if r.Status != http.StatusOK {
		return &mytoken.Error{Op: "fetch the keys", Server: srv.Issuer, Status: r.Status}
	}
	keys, _, err := jose.ParseKeySet(r.Body)
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("read the keys of %s: %w", srv.Issuer, err), "")
	}
	err = mt.Use(func(b []byte) error {
		_, err := mint.NewChecker(srv.Issuer, keys).Check(b, s.env.Now())
		return err
	})
	if err != nil {
		hint := ""
		if errors.Is(err, mint.ErrSignature) {
			hint = "a server that has changed its key still takes older mytokens: ask it with: mytoken info introspect"
		}
		return cli.Fail(cli.No, fmt.Errorf("check the mytoken: %w", err), hint)
	}
	s.env.Note("signature, issuer and times are good; whether it was revoked only the server knows: %s",
		oneLine(srv.Issuer))
	return nil
}

type infoNotifyCmd struct {
	root *Cmd
	source
	MOMID    []string `name:"mom-id" aliases:"MOM-ID,mom,MOM" sep:"none" placeholder:"ID" help:"Of these mytokens; may be repeated."`
	Children bool     `name:"include-children" help:"And of those that were made from it."`
}

// toldOut is what a person is told of one mytoken, as JSON.
type toldOut struct {
	Notifications []notificationOut  `json:"notifications"`
	Calendars     []calendarOut      `json:"calendars"`
	ByMOMID       map[string]toldOut `json:"mom_id_mapping,omitempty"`
}

func toldOf(t mytoken.Told) toldOut {
	out := toldOut{Notifications: []notificationOut{}, Calendars: []calendarOut{}}
	for _, n := range t.Notifications {
		out.Notifications = append(out.Notifications, notificationOf(n))
	}
	for _, k := range t.Calendars {
		out.Calendars = append(out.Calendars, calendarOut(k))
	}
	for id, one := range t.ByMOMID {
		if out.ByMOMID == nil {
			out.ByMOMID = map[string]toldOut{}
		}
		out.ByMOMID[id] = toldOf(one)
	}
	return out
}

// Run lists what a person is told of a mytoken.
func (c *infoNotifyCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		ids := c.MOMID
		if c.Children {
			ids = withChildren(ids)
		}
		told, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Told, *mytoken.Issued, error) {
			return cl.Told(ctx, mt, ids...)
		})
		if err != nil {
			return err
		}
		if s.cmd.JSON {
			return s.printJSON(toldOf(told))
		}
		rows := [][]string{{"MYTOKEN", "KIND", "WHAT", "CODE OR FEED"}}
		rows = append(rows, toldRows("", told)...)
		for _, id := range sortedKeys(told.ByMOMID) {
			rows = append(rows, toldRows(id, told.ByMOMID[id])...)
		}
		return s.table(rows)
	})
}

func toldRows(id string, t mytoken.Told) [][]string {
	if id == "" {
		id = "this"
	}
	var rows [][]string
	for _, n := range t.Notifications {
		rows = append(rows, []string{id, n.Type, joined(n.Classes), n.Code.Expose()})
	}
	for _, k := range t.Calendars {
		rows = append(rows, []string{id, "calendar", k.Name, k.URL})
	}
	return rows
}
