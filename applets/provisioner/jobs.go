package provisioner

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

const (
	// choreEvery is how often what was interrupted is looked for.
	choreEvery = time.Minute
	// announceEvery is how often this node says that it works on the state.
	announceEvery = time.Hour
	machineID     = "/etc/machine-id"
)

// jobs are the bulk jobs that this process carries out.
type jobs struct {
	mu      sync.Mutex
	running map[string]bool
}

// begin reports whether a job is not carried out here yet, and notes that it is.
func (j *jobs) begin(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running[id] {
		return false
	}
	if j.running == nil {
		j.running = map[string]bool{}
	}
	j.running[id] = true
	return true
}

func (j *jobs) end(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.running, id)
}

// bulk begins a job, or has one gone on with, and answers with it at once: it is carried out in the background, and after
// a crash by the next process.
func (d *server) bulk(r *http.Request, g *generation, b []byte) (any, error) {
	var order bulkOrder
	if json.Unmarshal(b, &order) != nil {
		return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object")
	}
	if order.Continue != "" {
		j, err := g.desk.Job(r.Context(), order.Continue)
		if err == nil {
			d.again(j.ID)
		}
		return j, err
	}
	j, err := g.desk.StartBulk(r.Context(), order.Selector, order.Action, by(r, order.Reason, order.Behalf))
	if err == nil {
		d.again(j.ID)
	}
	return j, err
}

// again has a job carried out soon.
func (d *server) again(id string) {
	select {
	case d.work <- id:
	default: // there is enough to do; the next round finds it
	}
}

// maxWork is how many jobs wait here; more are found in the state.
const maxWork = 16

// chores finishes now and then what was interrupted, and says that this node is there, until ctx ends. Jobs have a loop of
// their own: an account system that does not answer holds this one up.
func (d *server) chores(ctx context.Context) {
	tick := time.NewTicker(choreEvery)
	defer tick.Stop()
	announced := time.Time{}
	for {
		if now := d.env.Now(); announced.IsZero() || now.Sub(announced) >= announceEvery {
			announced = now
			d.announce(ctx)
		}
		d.mend(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// carryJobs carries out jobs that are ordered, and those that another process did not finish, until ctx ends.
func (d *server) carryJobs(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	tick := time.NewTicker(choreEvery)
	defer tick.Stop()
	for _, id := range d.unfinished(ctx) {
		d.carry(ctx, &working, id)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, id := range d.unfinished(ctx) {
				d.carry(ctx, &working, id)
			}
		case id := <-d.work:
			d.carry(ctx, &working, id)
		}
	}
}

// carry carries a job out in the background, unless that is done already.
func (d *server) carry(ctx context.Context, working *sync.WaitGroup, id string) {
	if !d.jobs.begin(id) {
		return
	}
	working.Go(func() {
		defer d.jobs.end(id)
		g := d.live.Acquire()
		defer g.Release()
		j, err := g.desk.Continue(ctx, id)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			d.log.Error("a bulk job was not carried out", "op", "bulk", "job", id, "err", err)
		default:
			d.log.Info("bulk job", "op", "bulk", "job", id, "done", j.Done, "skipped", j.Skipped, "failed", j.Failed)
		}
	})
}

// unfinished are the jobs that nobody has carried out to the end.
func (d *server) unfinished(ctx context.Context) []string {
	g := d.live.Acquire()
	defer g.Release()
	list, err := g.desk.Jobs(ctx)
	if err != nil && ctx.Err() == nil {
		d.log.Error("jobs could not be looked up", "op", "bulk", "err", err)
	}
	var ids []string
	for _, j := range list {
		if j.Ended.IsZero() {
			ids = append(ids, j.ID)
		}
	}
	return ids
}

// mend goes on with what was interrupted.
func (d *server) mend(ctx context.Context) {
	g := d.live.Acquire()
	defer g.Release()
	n, err := g.desk.Mend(ctx)
	if n > 0 {
		d.log.Info("finished what was interrupted", "op", "mend", "accounts", n)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Warn("not all that was interrupted could be finished", "op", "mend", "err", err)
	}
}

// announce says that this node works on the state, and warns where several make local accounts.
func (d *server) announce(ctx context.Context) {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	id := name
	if b, err := os.ReadFile(machineID); err == nil && strings.TrimSpace(string(b)) != "" {
		id = strings.TrimSpace(string(b))
	}
	g := d.live.Acquire()
	defer g.Release()
	nodes, err := g.desk.Announce(ctx, provision.Node{ID: id, Name: name, Local: d.started.backend == localUnix})
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("this node could not announce itself", "op", "announce", "err", err)
		}
		return
	}
	if warning := provision.SeveralLocal(nodes); warning != "" {
		d.log.Warn(warning, "op", "announce")
	}
}

// rebuild makes the state anew from the accounts.
func (d *server) rebuild(r *http.Request, g *generation, b []byte) (any, error) {
	var order rebuildOrder
	if json.Unmarshal(b, &order) != nil {
		return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object")
	}
	report, err := g.desk.Rebuild(r.Context(), provision.RebuildOptions{DryRun: order.DryRun, By: by(r, "", order.Behalf)})
	return report, err
}
