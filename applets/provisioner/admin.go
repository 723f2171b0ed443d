package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
)

type adminCmd struct {
	List     adminListCmd    `cmd:"" help:"List people and their accounts."`
	Show     adminShowCmd    `cmd:"" help:"Show all that is known of one person."`
	Suspend  adminSuspendCmd `cmd:"" help:"Stop somebody now: no login, sessions ended, passwords useless."`
	Resume   adminResumeCmd  `cmd:"" help:"Let somebody in again."`
	Limit    adminLimitCmd   `cmd:"" help:"Take the shell away; files can still be fetched by other means."`
	Unlimit  adminUnlimitCmd `cmd:"" help:"Give the shell back."`
	Undeploy adminUndeploy   `cmd:"" help:"Take an account away, with keys and sessions. Home stays."`
	Revoke   adminRevokeCmd  `cmd:"" help:"Make the one-time passwords of somebody useless."`
	Who      adminWhoCmd     `cmd:"" help:"Say whose a token is (standard input, a file, or an argument)."`
	Pending  adminPendingCmd `cmd:"" help:"List requests that wait for a decision."`
	Approve  adminApproveCmd `cmd:"" help:"Grant what somebody waits for."`
	Reject   adminRejectCmd  `cmd:"" help:"Refuse what somebody waits for."`
	TestMail adminMailCmd    `cmd:"" help:"Send administrators a mail, to see that mails arrive."`
	Bulk     adminBulkCmd    `cmd:"" help:"Stop or resume everybody of an issuer or a VO."`
	Jobs     adminJobsCmd    `cmd:"" help:"List bulk jobs, or go on with one."`
	Rebuild  adminRebuildCmd `cmd:"" help:"Make a lost state anew from the accounts."`
}

// jsonFlag is for what a script wants.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print the answer as JSON."`
}

type adminListCmd struct {
	configFlag
	jsonFlag
	Issuer string `placeholder:"URL" help:"Only people of this issuer."`
	VO     string `name:"vo" placeholder:"VO" help:"Only members: an entitlement, or a group."`
	State  string `placeholder:"STATE" help:"Only in this state: deployed, suspended, limited, pending, rejected, not_deployed."`
	Limit  int    `placeholder:"N" help:"At most so many."`
}

// Run lists accounts.
func (c *adminListCmd) Run(ctx context.Context, env *cli.Env) error {
	q := url.Values{}
	for key, value := range map[string]string{"issuer": c.Issuer, "vo": c.VO, "state": c.State} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.Itoa(c.Limit))
	}
	if _, known := state.Parse(c.State); c.State != "" && !known {
		return cli.Fail(cli.Usage, fmt.Errorf("there is no state %q", c.State),
			"deployed, not_deployed, pending, suspended, limited, rejected, failed or unknown")
	}
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	var list []provision.Entry
	if err := o.ask(ctx, http.MethodGet, accountsPath+"?"+q.Encode(), nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, list)
	}
	return table(env.Stdout, []string{"NAME", "UID", "STATE", "CHANGED", "SUBJECT", "ISSUER"}, len(list), func(i int) []string {
		e := list[i]
		return []string{dash(e.Name), number(e.UID), string(e.State), date(e.Changed), e.Sub, e.Iss}
	})
}

type adminShowCmd struct {
	configFlag
	jsonFlag
	Account string `arg:"" help:"Local name, or identity."`
}

// Run shows one account.
func (c *adminShowCmd) Run(ctx context.Context, env *cli.Env) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	var e provision.Entry
	if err := o.ask(ctx, http.MethodGet, accountPath+"?id="+url.QueryEscape(c.Account), nil, &e); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, e)
	}
	rows := [][]string{
		{"identity", e.ID},
		{"subject", e.Sub},
		{"issuer", e.Iss},
		{"local name", dash(e.Name)},
		{"uid", number(e.UID)},
		{"state", string(e.State)},
		{"groups", dash(strings.Join(e.Groups, " "))},
		{"primary group", dash(e.Primary)},
		{"shell", dash(string(e.Tier))},
		{"person", dash(strings.TrimSpace(e.Person.Full + " " + e.Person.Email))},
		{"memberships", dash(strings.Join(e.VOs, " "))},
		{"since", date(e.Created)},
		{"changed", date(e.Changed)},
		{"last deployed", date(e.Seen)},
	}
	for _, m := range []struct {
		what string
		mark *provision.Mark
	}{{"suspended", e.Suspended}, {"limited", e.Limited}, {"rejected", e.Rejected}} {
		if m.mark != nil {
			rows = append(rows, []string{m.what, strings.TrimSpace(date(m.mark.At) + " by " + dash(m.mark.By) + " " + m.mark.Reason)})
		}
	}
	if e.Unfinished != "" {
		rows = append(rows, []string{"unfinished", string(e.Unfinished)})
	}
	return table(env.Stdout, nil, len(rows), func(i int) []string { return rows[i] })
}

// changeFlags are those of commands that change one account.
type changeFlags struct {
	configFlag
	jsonFlag
	Reason  string `placeholder:"TEXT" help:"Why, for the audit log."`
	Account string `arg:"" help:"Local name, or identity."`
}

type (
	adminSuspendCmd struct{ changeFlags }
	adminResumeCmd  struct{ changeFlags }
	adminLimitCmd   struct{ changeFlags }
	adminUnlimitCmd struct{ changeFlags }
	adminRevokeCmd  struct{ changeFlags }
	adminUndeploy   struct {
		changeFlags
		Yes bool `help:"Do it. Without this nothing is taken away."`
	}
	adminApproveCmd struct{ decideFlags }
	adminRejectCmd  struct{ decideFlags }

	decideFlags struct {
		changeFlags
		Revision string `placeholder:"R" help:"Only if this is still what is asked for (admin pending)."`
	}
)

// Run stops somebody.
func (c *adminSuspendCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: string(state.Suspend)})
}

// Run lets somebody in again.
func (c *adminResumeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: string(state.Resume)})
}

// Run takes the shell away.
func (c *adminLimitCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: string(state.Limit)})
}

// Run gives the shell back.
func (c *adminUnlimitCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: string(state.Unlimit)})
}

// Run burns one-time passwords.
func (c *adminRevokeCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: actRevoke})
}

// Run takes an account away.
func (c *adminUndeploy) Run(ctx context.Context, env *cli.Env) error {
	if !c.Yes {
		return cli.Fail(cli.Usage, fmt.Errorf("the account of %s would be taken away, and its sessions ended", c.Account),
			"--yes does it; home, name and uid stay with the person")
	}
	return c.change(ctx, env, changeOrder{Action: string(state.Undeploy)})
}

// Run grants a request.
func (c *adminApproveCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: actApprove, Revision: c.Revision})
}

// Run refuses a request.
func (c *adminRejectCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.change(ctx, env, changeOrder{Action: actReject, Revision: c.Revision})
}

// change has one account changed. That nothing was changed is a no.
func (c *changeFlags) change(ctx context.Context, env *cli.Env, order changeOrder) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	order.Account, order.Reason, order.Behalf = c.Account, c.Reason, env.Getenv("SUDO_USER")
	var v changedView
	if err := o.ask(ctx, http.MethodPost, changePath, order, &v); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, v)
	}
	env.Note("%s: %s", dash(v.Name), v.Message)
	if strings.Contains(v.Message, "was not possible from") {
		return cli.Exit(cli.No)
	}
	return nil
}

type adminPendingCmd struct {
	configFlag
	jsonFlag
}

// Run lists requests.
func (c *adminPendingCmd) Run(ctx context.Context, env *cli.Env) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	var list []provision.Request
	if err := o.ask(ctx, http.MethodGet, pendingPath, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, list)
	}
	head := []string{"NAME", "WHAT", "SINCE", "REVISION", "PERSON", "SUBJECT", "ISSUER"}
	return table(env.Stdout, head, len(list), func(i int) []string {
		r := list[i]
		what := "account"
		if r.Change {
			what = "groups " + strings.Join(r.Added, " ")
		}
		return []string{r.Name, what, date(r.At), r.Revision, dash(strings.TrimSpace(r.Person.Name + " " + r.Email)), r.Sub, r.Iss}
	})
}

type adminMailCmd struct{ configFlag }

// Run has a mail sent.
func (c *adminMailCmd) Run(ctx context.Context, env *cli.Env) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	if err := o.ask(ctx, http.MethodPost, mailPath, nil, &struct{}{}); err != nil {
		return err
	}
	env.Note("it is on its way; the log of the server says so when the mail server does not take it")
	return nil
}

// table prints rows below a head, nil for none. What strangers say in them is made safe for a terminal.
func table(w io.Writer, head []string, rows int, row func(i int) []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			if i > 0 {
				_, _ = io.WriteString(t, "\t")
			}
			_, _ = io.WriteString(t, strings.ReplaceAll(daemon.OneLine(c), "\t", " "))
		}
		_, _ = io.WriteString(t, "\n")
	}
	if head != nil {
		line(head)
	}
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

func number(n uint32) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// errNotYet: a job is not done, or not all of it could be done.
var errNotYet = errors.New("not everybody could be changed")
