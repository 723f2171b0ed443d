package provisioner

import (
	"context"
	"errors"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/worker"
	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon"
)

// adoptCmd takes accounts of a provisioner that was here before, or of a ledger that was lost, into the worker's ledger.
type adoptCmd struct {
	Config string `default:"/etc/oidcbox/worker.yaml" placeholder:"FILE" help:"The configuration of the worker (${default})."`
	jsonFlag
}

// adoptedView is what was done.
type adoptedView struct {
	Adopted []string      `json:"adopted"`
	Known   int           `json:"known"`
	Refused []refusedView `json:"refused"`
}

type refusedView struct {
	Name   string `json:"name"`
	UID    uint32 `json:"uid"`
	Reason string `json:"reason"`
}

// Run adopts them. No worker runs meanwhile.
func (c *adoptCmd) Run(ctx context.Context, env *cli.Env) error {
	s, err := readWorkerSettings(within(env, c.Config))
	if err != nil {
		return configError(ofWorker, err)
	}
	w := &workerDaemon{env: env, settings: s, manager: daemon.Manager{Getenv: env.Getenv, Log: env.Log}}
	defer w.close()
	if w.audit, err = audit.Open(s.audit, audit.Options{Stdout: env.Stderr, Stderr: env.Stderr}); err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	if err := w.openLedger(ctx); err != nil {
		return err
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	report, err := worker.Adopt(ctx, w.options)
	if errors.Is(err, backend.ErrEditable) {
		return explain(errors.Join(errEditable, err))
	}
	if err != nil {
		return cli.Fail(cli.No, err, "")
	}
	return c.show(env, report)
}

func (c *adoptCmd) show(env *cli.Env, report worker.AdoptReport) error {
	v := adoptedView{Adopted: []string{}, Known: report.Known, Refused: []refusedView{}}
	for _, a := range report.Adopted {
		v.Adopted = append(v.Adopted, a.Name)
	}
	for _, r := range report.Refused {
		v.Refused = append(v.Refused, refusedView{r.Name, r.UID, daemon.OneLine(r.Err.Error())})
	}
	if c.JSON {
		if err := printJSON(env.Stdout, v); err != nil {
			return err
		}
	} else {
		for _, r := range v.Refused {
			env.Note("refused: %s (uid %d): %s", r.Name, r.UID, r.Reason)
		}
		env.Note("%d taken over, %d were known, %d refused", len(v.Adopted), v.Known, len(v.Refused))
	}
	if len(v.Refused) > 0 {
		return cli.Exit(cli.No)
	}
	return nil
}
