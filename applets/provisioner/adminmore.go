package provisioner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

type adminWhoCmd struct {
	configFlag
	jsonFlag
	File  string `short:"f" placeholder:"FILE" help:"A file with the token."`
	Token string `arg:"" optional:"" help:"The token itself, which others on this host can see; without it standard input."`
}

// Run says whose a token is. The exit code is 0 when it is believed, 1 when it is not.
func (c *adminWhoCmd) Run(ctx context.Context, env *cli.Env) error {
	token, err := c.token(env)
	if err != nil {
		return cli.Fail(cli.Usage, err, "it is read from standard input, or from --file FILE")
	}
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	var v whoView
	if err := o.ask(ctx, http.MethodPost, whoPath, whoOrder{Token: string(token)}, &v); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(env.Stdout, v)
	} else {
		rows := [][]string{
			{"identity", dash(v.ID)},
			{"subject", dash(v.Sub)},
			{"issuer", dash(v.Iss)},
			{"local name", dash(v.Name)},
			{"state", string(v.State)},
			{"believed", yes(v.Believed)},
			{"authorised", yes(v.Authorised)},
		}
		if v.Reason != "" {
			rows = append(rows, []string{"why not", v.Reason})
		}
		err = table(env.Stdout, nil, len(rows), func(i int) []string { return rows[i] })
	}
	if err == nil && !v.Believed {
		return cli.Exit(cli.No)
	}
	return err
}

func (c *adminWhoCmd) token(env *cli.Env) ([]byte, error) {
	in := env.Stdin
	switch {
	case c.Token != "" && c.File != "":
		return nil, fmt.Errorf("a token and a file with a token together")
	case c.Token != "":
		return []byte(c.Token), nil
	case c.File != "":
		f, err := os.Open(within(env, c.File))
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, jose.MaxToken+1))
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil, fmt.Errorf("there is no token")
	}
	return b, nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type adminBulkCmd struct {
	configFlag
	jsonFlag
	Action string `arg:"" enum:"suspend,resume,limit,unlimit,undeploy" help:"What is done: suspend, resume, limit, unlimit or undeploy."`
	Issuer string `placeholder:"URL" help:"Everybody of this issuer."`
	VO     string `name:"vo" placeholder:"VO" help:"Every member: an entitlement, or a group."`
	Job    string `placeholder:"JOB" help:"Those that this job suspended."`
	Reason string `placeholder:"TEXT" help:"Why, for the audit log."`
	Yes    bool   `help:"Do it. Without this only those are counted whom it would be about."`
	NoWait bool   `help:"Do not wait until it is done."`
}

// Run begins a job and waits for its end.
func (c *adminBulkCmd) Run(ctx context.Context, env *cli.Env) error {
	sel := provision.Selector{Issuer: c.Issuer, VO: c.VO, Job: c.Job}
	if sel == (provision.Selector{}) {
		return cli.Fail(cli.Usage, fmt.Errorf("whom is it about?"), "--issuer, --vo or --job")
	}
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	if !c.Yes {
		return c.count(ctx, o)
	}
	if c.Job != "" {
		if err := o.ask(ctx, http.MethodGet, jobPath+"?id="+url.QueryEscape(c.Job), nil, &provision.Job{}); err != nil {
			return err
		}
	}
	order := bulkOrder{
		Selector: sel, Action: requestOf(c.Action), Reason: c.Reason, Behalf: env.Getenv("SUDO_USER"),
	}
	var j provision.Job
	if err := o.ask(ctx, http.MethodPost, jobsPath, order, &j); err != nil {
		return err
	}
	return c.follow(ctx, env, o, j)
}

// count says how many it would be about.
func (c *adminBulkCmd) count(ctx context.Context, o office) error {
	q := url.Values{"issuer": {c.Issuer}, "vo": {c.VO}}
	var list []provision.Entry
	if err := o.ask(ctx, http.MethodGet, accountsPath+"?"+q.Encode(), nil, &list); err != nil {
		return err
	}
	if len(list) == 0 && c.Job == "" {
		return errNoMembers()
	}
	return cli.Fail(cli.Usage, fmt.Errorf("it would be about %d of those who are known here", len(list)),
		"--yes does it; admin list with the same --issuer and --vo names them")
}

func (c *adminBulkCmd) follow(ctx context.Context, env *cli.Env, o office, j provision.Job) error {
	if !c.NoWait {
		var err error
		if j, err = await(ctx, o, j); err != nil {
			return err
		}
	}
	err := showJob(env, j, c.JSON)
	if err == nil && !j.Ended.IsZero() && j.Total == 0 && c.Job == "" {
		return errNoMembers()
	}
	return err
}

// errNoMembers: an officer who mistypes an issuer must not believe that its people are stopped.
func errNoMembers() error {
	return cli.Fail(cli.NotFound, errors.New("nobody of that issuer or VO is known here"),
		"issuers are compared byte for byte, with the slash at the end: oidcbox provisioner admin list shows how they are written")
}

func requestOf(action string) state.Request {
	return map[string]state.Request{
		"suspend": state.Suspend, "resume": state.Resume, "limit": state.Limit, "unlimit": state.Unlimit, "undeploy": state.Undeploy,
	}[action]
}

// jobPause is how often a job is looked at.
const jobPause = 300 * time.Millisecond

// await waits until a job has ended, or nothing more can be done about it for now.
func await(ctx context.Context, o office, j provision.Job) (provision.Job, error) {
	for turn := 1; j.Ended.IsZero(); turn++ {
		if turn%10 == 0 && j.Gathered {
			o.note("job %s: %d of %d", j.ID, j.Done+j.Skipped+j.Failed, j.Total)
		}
		select {
		case <-ctx.Done():
			return j, cli.Fail(cli.Temporary, fmt.Errorf("job %s goes on without us: %w", j.ID, ctx.Err()), "admin jobs shows how far it is")
		case <-time.After(jobPause):
		}
		if err := o.ask(ctx, http.MethodGet, jobPath+"?id="+url.QueryEscape(j.ID), nil, &j); err != nil {
			return j, err
		}
		if j.Gathered && j.Failed > 0 && j.Done+j.Skipped+j.Failed >= j.Total {
			break
		}
	}
	return j, nil
}

func showJob(env *cli.Env, j provision.Job, asJSON bool) error {
	if asJSON {
		if err := printJSON(env.Stdout, j); err != nil {
			return err
		}
	} else {
		env.Note("job %s: %d of %d changed or as wanted before, %d skipped, %d failed", j.ID, j.Done, j.Total, j.Skipped, j.Failed)
		for _, id := range j.Unsure {
			env.Note("left alone, since not all memberships are known: %s", id)
		}
		for _, p := range j.Problems {
			env.Note("%s", p)
		}
	}
	if j.Failed > 0 {
		return cli.Fail(cli.Temporary, errNotYet, "oidcbox provisioner admin jobs --continue "+j.ID+" tries them again")
	}
	return nil
}

type adminJobsCmd struct {
	configFlag
	jsonFlag
	Continue string `placeholder:"JOB" help:"Go on with this job, and wait for its end."`
}

// Run lists jobs, or goes on with one.
func (c *adminJobsCmd) Run(ctx context.Context, env *cli.Env) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	if c.Continue != "" {
		var j provision.Job
		if err := o.ask(ctx, http.MethodPost, jobsPath, bulkOrder{Continue: c.Continue}, &j); err != nil {
			return err
		}
		if j, err = await(ctx, o, j); err != nil {
			return err
		}
		return showJob(env, j, c.JSON)
	}
	var list []provision.Job
	if err := o.ask(ctx, http.MethodGet, jobsPath, nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, list)
	}
	head := []string{"JOB", "ACTION", "STARTED", "ENDED", "TOTAL", "DONE", "SKIPPED", "FAILED", "BY", "WHOM"}
	return table(env.Stdout, head, len(list), func(i int) []string {
		j := list[i]
		return []string{
			j.ID, string(j.Action), date(j.Started), date(j.Ended), fmt.Sprint(j.Total), fmt.Sprint(j.Done), fmt.Sprint(j.Skipped),
			fmt.Sprint(j.Failed), dash(j.By), dash(j.Selector.Issuer + j.Selector.VO + j.Selector.Job),
		}
	})
}

type adminRebuildCmd struct {
	configFlag
	jsonFlag
	DryRun bool `name:"dry-run" help:"Only say what would be taken over."`
}

// Run rebuilds the state from the accounts.
func (c *adminRebuildCmd) Run(ctx context.Context, env *cli.Env) error {
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	var report provision.Report
	order := rebuildOrder{DryRun: c.DryRun, Behalf: env.Getenv("SUDO_USER")}
	if err := o.ask(ctx, http.MethodPost, rebuildPath, order, &report); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(env.Stdout, report)
	} else {
		rows := append(append([]provision.Restored{}, report.Restored...), report.Refused...)
		err = table(env.Stdout, []string{"NAME", "UID", "IDENTITY", "WHY NOT"}, len(rows), func(i int) []string {
			r := rows[i]
			return []string{dash(r.Name), number(r.UID), dash(r.ID), dash(r.Reason)}
		})
		env.Note("%d taken over, %d were known, %d refused", len(report.Restored), report.Agreed, len(report.Refused))
	}
	if err == nil && len(report.Refused) > 0 {
		return cli.Exit(cli.No)
	}
	return err
}
