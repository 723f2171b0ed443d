package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// batch is how many items of a job are read or written at once.
const batch = 32

// maxProblems is how many problems of a job are kept in words.
const maxProblems = 20

// Selector says whom a bulk job is about: whoever all fields that are set hold for. At least one has to be.
type Selector struct {
	Issuer string `json:"issuer,omitzero"`
	VO     string `json:"vo,omitzero"`  // as in Filter
	Job    string `json:"job,omitzero"` // those that this job suspended
}

// Job is a bulk job.
type Job struct {
	Version  int           `json:"v"`
	ID       string        `json:"id"`
	Selector Selector      `json:"selector"`
	Action   state.Request `json:"action"`
	By       string        `json:"by,omitzero"`
	Remote   string        `json:"remote,omitzero"`
	Reason   string        `json:"reason,omitzero"`
	Started  time.Time     `json:"started"`
	Ended    time.Time     `json:"ended,omitzero"`
	Total    int           `json:"total"`
	Done     int           `json:"done"`    // changed, or as wanted before
	Skipped  int           `json:"skipped"` // not possible from the state they are in
	Failed   int           `json:"failed"`  // Continue tries them again
	// Unsure are identities of whose memberships not all are remembered, so that nobody knows whether they belong to
	// the VO. They are left alone.
	Unsure   []string `json:"unsure,omitempty"`
	Problems []string `json:"problems,omitempty"` // the first ones
	// Gathered: all items are written down. A job without is begun anew by Continue.
	Gathered bool `json:"gathered,omitzero"`
}

// item is an identity that a job has still to do.
type item struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Failed  bool   `json:"failed,omitzero"`
}

// StartBulk writes a job down and whom it is about. Continue carries it out, in any process, also after a crash. Action
// is state.Suspend, Resume, Limit, Unlimit or Undeploy. A bulk Resume frees those only whom a bulk job stopped: whoever
// was stopped by name stays so. The error is ErrSelector.
func (d *Desk) StartBulk(ctx context.Context, sel Selector, action state.Request, by By) (Job, error) {
	if sel == (Selector{}) || d.action(action) == nil {
		return Job{}, ErrSelector
	}
	job := Job{
		Version: recordVersion, ID: strings.ToLower(rand.Text()[:12]), Selector: sel, Action: action, By: by.Who,
		Remote: by.Remote, Reason: by.Reason, Started: d.now(),
	}
	err := d.alone(ctx, job.ID, func(store.Lease) (err error) {
		if err = d.saveJob(ctx, job); err != nil {
			return err
		}
		d.audit(Event{Kind: Bulk, Reason: "begun: " + job.words()}, by)
		job, err = d.gather(ctx, job)
		return err
	})
	return job, err
}

// alone runs fn while no other process works on the job.
func (d *Desk) alone(ctx context.Context, id string, fn func(store.Lease) error) error {
	lease, err := d.o.Store.Lease(ctx, "job "+id, leaseTime+2*d.o.Patience)
	if err != nil {
		return fmt.Errorf("wait for the job: %w", err)
	}
	defer func() {
		giving, done := context.WithTimeout(context.WithoutCancel(ctx), releaseWait)
		defer done()
		if e := lease.Release(giving); e != nil {
			d.o.Log.Warn("lease of a job was not given back", "lease", lease.Name(), "error", e)
		}
	}()
	return fn(lease)
}

func (j Job) words() string {
	s := j.Selector
	return fmt.Sprintf("job %s, %s, issuer %q, vo %q, job %q", j.ID, j.Action, s.Issuer, s.VO, s.Job)
}

func (j Job) by() By { return By{Who: j.By, Remote: j.Remote, Reason: j.Reason, Job: j.ID} }

// action is the method for a bulk action, nil for no such.
func (d *Desk) action(r state.Request) func(context.Context, string, By) (Answer, error) {
	switch r {
	case state.Suspend:
		return d.Suspend
	case state.Resume:
		return d.Resume
	case state.Limit:
		return d.Limit
	case state.Unlimit:
		return d.Unlimit
	case state.Undeploy:
		return d.Undeploy
	}
	return nil
}

// gather writes down whom the job is about.
func (d *Desk) gather(ctx context.Context, job Job) (Job, error) {
	entries, err := d.List(ctx, Filter{Issuer: job.Selector.Issuer})
	if err != nil {
		return job, err
	}
	job.Total, job.Unsure = 0, nil
	var ids []string
	for _, e := range entries {
		switch {
		case job.Selector.Job != "" && (e.Suspended == nil || e.Suspended.Job != job.Selector.Job):
		case job.Selector.VO == "" || e.member(job.Selector.VO):
			ids = append(ids, e.ID)
		case e.VOsCut:
			job.Unsure = append(job.Unsure, e.label())
		}
	}
	for part := range slices.Chunk(ids, batch) {
		err := d.o.Store.Update(ctx, func(tx store.WTx) error {
			for _, id := range part {
				if err := put(tx, tableJobItems, itemKey(job.ID, id), item{Version: recordVersion, ID: id}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return job, fmt.Errorf("write the ledger: %w", err)
		}
	}
	if more := len(job.Unsure) - maxProblems; more > 0 {
		job.Unsure = append(job.Unsure[:maxProblems], fmt.Sprintf("... and %d more", more))
	}
	job.Total, job.Gathered = len(ids), true
	return job, d.saveJob(ctx, job)
}

// label is a short text for an entry.
func (e Entry) label() string {
	if e.Name != "" {
		return e.Name
	}
	return e.ID[:min(len(e.ID), maxText)]
}

func itemKey(job, id string) store.Key { return store.Key{job, digest(id)} }

func (d *Desk) saveJob(ctx context.Context, job Job) error {
	err := d.o.Store.Update(ctx, func(tx store.WTx) error { return put(tx, tableJobs, store.Key{job.ID}, job) })
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// Job returns a bulk job as it stands. The error is ErrNoJob.
func (d *Desk) Job(ctx context.Context, id string) (Job, error) {
	var job Job
	err := d.o.Store.View(ctx, func(tx store.Tx) (err error) {
		if id == "" || len(id) > maxText {
			return ErrNoJob
		}
		var found bool
		if job, found, err = get[Job](tx, tableJobs, store.Key{id}); err == nil && !found {
			err = ErrNoJob
		}
		return err
	})
	return job, err
}

// Jobs returns all bulk jobs, the newest first.
func (d *Desk) Jobs(ctx context.Context) ([]Job, error) {
	var jobs []Job
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		jobs = nil
		for r, err := range tx.Scan(table(tableJobs), nil) {
			job, _, err := decode[Job](r, err, tableJobs)
			if err != nil {
				return err
			}
			jobs = append(jobs, job)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	sort.Slice(jobs, func(i, j int) bool { return jobs[i].Started.After(jobs[j].Started) })
	return jobs, nil
}

// Continue carries a job out until it is done or ctx is. What failed before is tried again, once. Two processes that do
// so at once take turns. The error is ErrNoJob, that of ctx, or of the ledger; what failed for single identities is in
// the Job.
func (d *Desk) Continue(ctx context.Context, id string) (Job, error) {
	if _, err := d.Job(ctx, id); err != nil {
		return Job{}, err
	}
	var job Job
	err := d.alone(ctx, id, func(lease store.Lease) (err error) {
		if job, err = d.Job(ctx, id); err == nil && !job.Gathered {
			job, err = d.gather(ctx, job)
		}
		if err == nil {
			job, err = d.carryOut(ctx, lease, job)
		}
		return err
	})
	return job, err
}

func (d *Desk) carryOut(ctx context.Context, lease store.Lease, job Job) (Job, error) {
	left, err := d.items(ctx, job.ID)
	if err != nil {
		return job, err
	}
	if len(left) == 0 && !job.Ended.IsZero() {
		return job, nil
	}
	job.Failed, job.Problems, job.Ended = 0, nil, time.Time{}
	for _, one := range left {
		if err := ctx.Err(); err != nil {
			return job, errors.Join(err, d.saveJob(context.WithoutCancel(ctx), job))
		}
		if err := lease.Renew(ctx, leaseTime+2*d.o.Patience); err != nil {
			return job, fmt.Errorf("keep the job: %w", err)
		}
		gone := d.doItem(ctx, &job, one)
		if err := d.itemDone(ctx, lease, job, one, gone); err != nil {
			return job, err
		}
	}
	job.Ended = d.now()
	if err := d.saveJob(ctx, job); err != nil {
		return job, err
	}
	d.audit(Event{Kind: Bulk, Reason: fmt.Sprintf(
		"ended: %s: %d done, %d skipped, %d failed", job.words(), job.Done, job.Skipped, job.Failed)}, job.by())
	return job, nil
}

func (d *Desk) items(ctx context.Context, job string) ([]item, error) {
	var left []item
	err := d.o.Store.View(ctx, func(tx store.Tx) error {
		left = nil
		for r, err := range tx.Scan(table(tableJobItems), store.Key{job}) {
			one, _, err := decode[item](r, err, tableJobItems)
			if err != nil {
				return err
			}
			left = append(left, one)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return left, nil
}

// doItem does one identity, counts it, and reports whether it is done with.
func (d *Desk) doItem(ctx context.Context, job *Job, one item) bool {
	entry, err := d.Show(ctx, one.ID)
	byName := err == nil && entry.Suspended != nil && entry.Suspended.Job == ""
	if job.Action == state.Resume && byName {
		job.Skipped++
		return true
	}
	answer, err := d.action(job.Action)(ctx, one.ID, job.by())
	switch {
	case err != nil:
		job.Failed++
		if len(job.Problems) < maxProblems {
			job.Problems = append(job.Problems, entry.label()+": "+err.Error())
		}
		return false
	case answer.Message != state.ChangeMessage(one.ID, job.Action, "", state.Step{Allowed: true}):
		job.Skipped++
	default:
		job.Done++
	}
	return true
}

// itemDone strikes an item out, and saves the counters with it.
func (d *Desk) itemDone(ctx context.Context, lease store.Lease, job Job, one item, gone bool) error {
	err := d.o.Store.Update(context.WithoutCancel(ctx), func(tx store.WTx) error {
		if gone {
			if err := remove(tx, tableJobItems, itemKey(job.ID, one.ID)); err != nil {
				return err
			}
		}
		return put(tx, tableJobs, store.Key{job.ID}, job)
	}, lease)
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

func (j Job) version() int { return j.Version }

func (i item) version() int { return i.Version }
