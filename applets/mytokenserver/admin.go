package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/notices"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

type adminCmd struct {
	Users  adminUsersCmd  `cmd:"" help:"List everybody who has mytokens here."`
	Tokens adminTokensCmd `cmd:"" help:"List the mytokens of one person, or of everybody."`
	Revoke adminRevokeCmd `cmd:"" help:"End a mytoken."`
	Erase  adminEraseCmd  `cmd:"" help:"Remove all that is kept of a person."`
}

// openOffice asks the server where one runs, and opens the state itself where none does. Call the returned function at the
// end.
func openOffice(ctx context.Context, env *cli.Env, s *settings) (office, func() error, error) {
	if path := s.controlPath(); path != "" {
		if o := (remoteOffice{path}); o.runs(ctx) {
			return o, func() error { return nil }, nil
		}
	}
	st, err := openState(ctx, env, s.state)
	if err != nil {
		return nil, nil, err
	}
	keys, err := loadKeys(s.keys.dir)
	if err != nil {
		return nil, nil, errors.Join(keysError(err), st.Close())
	}
	sig, err := newSigner(s.issuer, keys)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	l := ledger.New(st.Engine(), ledger.Options{Minter: sig, Verify: sig.Genuine, Now: env.Now, Log: env.Log})
	end := func() error { return errors.Join(l.Close(context.WithoutCancel(ctx)), st.Close()) }
	n, err := notices.New(notices.Options{
		Issuer: s.issuer, Engine: st.Engine(), Tokens: l, Enter: nobodyEnters, Now: env.Now, Log: env.Log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return ownOffice{ledger: l, raw: st.Raw, notices: n}, end, nil
}

// nobodyEnters is for notices without a server around them.
func nobodyEnters(context.Context, desk.Caller, desk.Need) (notices.Visit, error) {
	return nil, &desk.Error{Status: http.StatusServiceUnavailable, Code: desk.CodeInternal}
}

// inOffice runs fn with an office, and gives errors their exit codes.
func (c *configFlag) inOffice(ctx context.Context, env *cli.Env, fn func(office) error) error {
	s, err := c.read(env)
	if err != nil {
		return err
	}
	o, end, err := openOffice(ctx, env, s)
	if err != nil {
		return err
	}
	err = errors.Join(fn(o), end())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrUnknown):
		return cli.Fail(cli.NotFound, err, "mytoken-server admin users and admin tokens list what there is")
	case errors.Is(err, sock.ErrForeign):
		return cli.Fail(cli.Denied, err,
			"the server answers its own user: runuser -u USER -- oidcbox mytoken-server admin ..., or sudo -u USER")
	}
	return err
}

type adminUsersCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print the list as JSON."`
}

// Run lists the people.
func (c *adminUsersCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.inOffice(ctx, env, func(o office) error {
		list, err := o.Users(ctx)
		if err != nil || c.JSON {
			return orJSON(env.Stdout, list, err)
		}
		return table(env.Stdout, []string{"USER", "SINCE", "SUBJECT", "PROVIDER"}, len(list), func(i int) []string {
			u := list[i]
			return []string{u.ID, date(u.Since), u.Subject, u.Provider}
		})
	})
}

type adminTokensCmd struct {
	configFlag
	User string `placeholder:"USER" help:"Only those of this person (admin users)."`
	JSON bool   `name:"json" help:"Print the list as JSON."`
}

// Run lists mytokens.
func (c *adminTokensCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.inOffice(ctx, env, func(o office) error {
		list, err := o.Tokens(ctx, c.User)
		if err != nil || c.JSON {
			return orJSON(env.Stdout, list, err)
		}
		head := []string{"MOM_ID", "STATE", "CREATED", "EXPIRES", "LAST USE", "ADDRESS", "NAME"}
		return table(env.Stdout, head, len(list), func(i int) []string {
			t := list[i]
			return []string{t.MOMID, t.State, date(t.Created), date(t.Expires), date(t.LastUse), dash(t.Address), dash(t.Name)}
		})
	})
}

type adminRevokeCmd struct {
	configFlag
	Recursive bool   `short:"r" help:"End everything that was made from it, too."`
	Reason    string `default:"revoked by the operator" placeholder:"TEXT" help:"What its owner reads in the history."`
	MOMID     string `arg:"" name:"mom_id" help:"The mytoken (admin tokens)."`
}

// Run ends a mytoken.
func (c *adminRevokeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.inOffice(ctx, env, func(o office) error {
		r, err := o.Revoke(ctx, revokeOrder{MOMID: c.MOMID, Recursive: c.Recursive, Reason: c.Reason})
		if err != nil {
			return err
		}
		switch {
		case r.Already:
			env.Note("it had ended before")
		case r.LoginEnded:
			env.Note("revoked; it was the last mytoken of its login. The login is gone here and not revoked at the provider: " +
				"only who holds a mytoken can do that")
		default:
			env.Note("revoked")
		}
		return nil
	})
}

type adminEraseCmd struct {
	configFlag
	Yes  bool   `help:"Do it. Without this nothing is removed."`
	User string `arg:"" name:"user" help:"The person (admin users)."`
}

// Run removes a person.
func (c *adminEraseCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.inOffice(ctx, env, func(o office) error {
		list, err := o.Tokens(ctx, c.User)
		if err != nil {
			return err
		}
		if !c.Yes {
			return cli.Fail(cli.Usage, fmt.Errorf("%d mytokens and all that is kept of this person would be removed", len(list)),
				"--yes does it; there is no way back but a backup")
		}
		if err := o.Erase(ctx, c.User); err != nil {
			return err
		}
		env.Note("erased, with %d mytokens. Logins at the provider live on there until it ends them", len(list))
		return nil
	})
}

func orJSON(w io.Writer, v any, err error) error {
	if err != nil {
		return err
	}
	return printJSON(w, v)
}

// table prints rows below a head. What strangers say in them is made safe for a terminal.
func table(w io.Writer, head []string, rows int, row func(i int) []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				_, _ = io.WriteString(t, "\t")
			}
			_, _ = io.WriteString(t, oneCell(c))
		}
		_, _ = io.WriteString(t, "\n")
	}
	line(head)
	for i := range rows {
		line(row(i))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04Z")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
