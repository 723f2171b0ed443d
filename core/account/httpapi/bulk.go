package httpapi

import (
	"errors"
	"net/http"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// bulkRoutes are for stopping many at once.
func (a *API) bulkRoutes() []route {
	return []route{
		{
			path: "/admin/v1/bulk", summary: "Do something to everybody of an issuer or a VO, or whom a job suspended",
			answer: a.startBulk, auth: true, post: true, params: []string{"action"},
			more: []string{"issuer", "vo", "job", "reason"},
		},
		{path: "/admin/v1/jobs", summary: "Bulk jobs", answer: a.listJobs, auth: true},
		{path: "/admin/v1/job", summary: "How far a bulk job is", answer: a.showJob, auth: true, params: []string{"id"}},
		{
			path: "/admin/v1/job/continue", summary: "Go on with a bulk job that was interrupted", answer: a.continueJob,
			auth: true, post: true, params: []string{"id"},
		},
	}
}

// actions are what a bulk job can do, by the word for it.
func actions() map[string]state.Request {
	return map[string]state.Request{
		"suspend": state.Suspend, "resume": state.Resume, "limit": state.Limit, "unlimit": state.Unlimit,
		"undeploy": state.Undeploy,
	}
}

func (a *API) startBulk(c *call) error {
	who, err := a.officer(c)
	if err != nil {
		return err
	}
	sel := provision.Selector{Issuer: c.arg("issuer"), VO: c.arg("vo"), Job: c.arg("job")}
	if sel.Issuer == "" && sel != (provision.Selector{}) && !who.issuer.AdminsForAll {
		sel.Issuer = who.Iss
	}
	if err := a.mayManageAll(who, sel.Issuer); err != nil {
		return err
	}
	action, known := actions()[c.arg("action")]
	if !known {
		return detail(http.StatusBadRequest, "1 request validation error: "+
			"Input should be 'suspend', 'resume', 'limit', 'unlimit' or 'undeploy' (query -> action)")
	}
	by := provision.By{Who: who.ID, Remote: c.remote(), Reason: plain(c.arg("reason"))}
	job, err := a.o.Officer.StartBulk(c, sel, action, by)
	switch {
	case errors.Is(err, provision.ErrSelector):
		return detail(http.StatusBadRequest, "1 request validation error: Field required (query -> issuer, vo or job)")
	case err != nil:
		return trouble(err, "Something went wrong.")
	}
	a.o.Work(job.ID)
	return c.json(http.StatusOK, job)
}

// mayManageAll refuses who may not manage everybody of an issuer; "" is all issuers.
func (a *API) mayManageAll(who known, iss string) error {
	if iss == "" && who.issuer.AdminsForAll {
		return nil
	}
	_, err := a.mayManage(who, iss)
	return err
}

func (a *API) listJobs(c *call) error {
	who, err := a.officer(c)
	if err != nil {
		return err
	}
	all, err := a.o.Officer.Jobs(c)
	if err != nil {
		return trouble(err, "Something went wrong.")
	}
	mine := []provision.Job{}
	for _, job := range all {
		if a.mayManageAll(who, job.Selector.Issuer) == nil {
			mine = append(mine, job)
		}
	}
	return c.json(http.StatusOK, map[string][]provision.Job{"jobs": mine})
}

// job finds the bulk job of a request, when the officer may manage it.
func (a *API) job(c *call) (provision.Job, error) {
	who, err := a.officer(c)
	if err != nil {
		return provision.Job{}, err
	}
	job, err := a.o.Officer.Job(c, c.arg("id"))
	switch {
	case errors.Is(err, provision.ErrNoJob):
		return provision.Job{}, detail(http.StatusNotFound, "Job not found")
	case err != nil:
		return provision.Job{}, trouble(err, "Something went wrong.")
	}
	return job, a.mayManageAll(who, job.Selector.Issuer)
}

func (a *API) showJob(c *call) error {
	job, err := a.job(c)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, job)
}

func (a *API) continueJob(c *call) error {
	job, err := a.job(c)
	if err != nil {
		return err
	}
	a.o.Work(job.ID)
	return c.json(http.StatusOK, job)
}
