package mytokenserver

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

// numbers are the metrics of a server. No label has a value that a stranger could choose: routes are ours, outcomes those of
// the API, providers those of the configuration.
type numbers struct {
	set metrics.Set

	requests  *metrics.Counters
	seconds   *metrics.Histograms
	decisions *metrics.Counters
	auditLost *metrics.Counter
	reloads   *metrics.Counters
	removed   *metrics.Counters
	mails     *metrics.Counters
	commands  *metrics.Counters

	loadedAt atomic.Int64 // Unix time of the last configuration that was taken over
	sweptAt  atomic.Int64
	lastGood atomic.Bool
}

// emit is how a gauge says its values.
type emit = func(value float64, labels ...string)

const namePrefix = "oidcbox_mytoken_server_"

func newNumbers(d *server) *numbers {
	n := &numbers{}
	n.requests = n.set.Counters(namePrefix+"requests_total", "Requests by route and HTTP status.", "route", "status")
	n.seconds = n.set.Histograms(namePrefix+"request_seconds", "Time a request took.",
		[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}, "route")
	n.decisions = n.set.Counters(namePrefix+"decisions_total", "What was decided, by action and outcome.", "action", "outcome")
	n.auditLost = n.set.Counter(namePrefix+"audit_lost_total", "Audit records that could not be written.")
	n.reloads = n.set.Counters(namePrefix+"reloads_total", "Configurations read, by result.", "result")
	n.reloads.With("ok")
	n.reloads.With("failed")
	n.mails = n.set.Counters(namePrefix+"mails_total", "What became of mails.", "outcome")
	n.commands = n.set.Counters(namePrefix+"ssh_commands_total", "Commands over ssh, by action and outcome.", "action", "outcome")
	n.removed = n.set.Counters(namePrefix+"swept_total", "What was removed because its time is over.", "kind")
	n.set.Gauge(namePrefix+"config_loaded_timestamp_seconds", "When the configuration in use was read.", nil,
		func(e emit) { e(float64(n.loadedAt.Load())) })
	n.set.Gauge(namePrefix+"config_last_reload_successful", "Whether the last configuration was taken over.", nil,
		func(e emit) { e(truth(n.lastGood.Load())) })
	n.set.Gauge(namePrefix+"swept_timestamp_seconds", "When what is over was removed last; 0: not since the start.", nil,
		func(e emit) { e(float64(n.sweptAt.Load())) })
	n.set.Gauge(namePrefix+"provider_ready", "Whether people can log in at a provider.", []string{"provider"},
		func(e emit) {
			for _, p := range d.live.Current().providers.Status() {
				e(truth(p.Ready), p.Name)
			}
		})
	n.set.Gauge(namePrefix+"state_reachable", "Whether the state answers.", nil,
		func(e emit) { e(truth(d.reachable())) })
	return n
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// answered counts one request.
func (n *numbers) answered(_ context.Context, route string, status int, took time.Duration) {
	n.requests.With(route, strconv.Itoa(status)).Add(1)
	n.seconds.With(route).Observe(took)
}

// mailed counts what became of a mail, commanded a command over ssh.
func (n *numbers) mailed(outcome string) { n.mails.With(outcome).Add(1) }

func (n *numbers) commanded(_ context.Context, action, outcome string, _ time.Duration) {
	n.commands.With(action, outcome).Add(1)
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

func (n *numbers) swept(at time.Time, s ledger.Swept) {
	n.sweptAt.Store(at.Unix())
	for kind, count := range map[string]int{"mytoken": s.Tokens, "login": s.Logins, "user": s.Users, "use": s.Lost} {
		n.removed.With(kind).Add(uint64(count))
	}
}
