package provisioner

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

// numbers are the metrics of a server. No label has a value that a stranger could choose: operations are ours, kinds those
// of the audit.
type numbers struct {
	set metrics.Set

	requests  *metrics.Counters
	seconds   *metrics.Histograms
	events    *metrics.Counters
	auditLost *metrics.Counter
	reloads   *metrics.Counters

	loadedAt atomic.Int64 // Unix time of the last configuration that was taken over
	lastGood atomic.Bool
}

// emit is how a gauge says its values.
type emit = func(value float64, labels ...string)

const namePrefix = "oidcbox_provisioner_"

func newNumbers(d *server) *numbers {
	n := &numbers{}
	n.requests = n.set.Counters(namePrefix+"requests_total", "Requests by operation and HTTP status.", "op", "status")
	n.seconds = n.set.Histograms(namePrefix+"request_seconds", "Time a request took.",
		[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}, "op")
	n.events = n.set.Counters(namePrefix+"events_total", "What happened to accounts and logins, by kind.", "event")
	n.auditLost = n.set.Counter(namePrefix+"audit_lost_total", "Audit records that could not be written.")
	n.reloads = n.set.Counters(namePrefix+"reloads_total", "Configurations read, by result.", "result")
	n.reloads.With("ok")
	n.reloads.With("failed")
	n.set.Gauge(namePrefix+"config_loaded_timestamp_seconds", "When the configuration in use was read.", nil,
		func(e emit) { e(float64(n.loadedAt.Load())) })
	n.set.Gauge(namePrefix+"config_last_reload_successful", "Whether the last configuration was taken over.", nil,
		func(e emit) { e(truth(n.lastGood.Load())) })
	n.set.Gauge(namePrefix+"state_reachable", "Whether the state answers.", nil,
		func(e emit) { e(truth(d.look(context.Background()).State)) })
	n.set.Gauge(namePrefix+"worker_reachable", "Whether the worker answers.", nil,
		func(e emit) { e(truth(d.look(context.Background()).Worker)) })
	return n
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// answered counts one request.
func (n *numbers) answered(_ context.Context, op string, status int, took time.Duration) {
	n.requests.With(op, strconv.Itoa(status)).Add(1)
	n.seconds.With(op).Observe(took)
}

func (n *numbers) loaded(at time.Time, ok bool) {
	n.lastGood.Store(ok)
	if !ok {
		n.reloads.With("failed").Add(1)
		return
	}
	n.reloads.With("ok").Add(1)
	n.loadedAt.Store(at.Unix())
}
