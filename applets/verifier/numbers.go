package verifier

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

// numbers are the metrics of a daemon. No label has a value that a stranger could choose: services and issuers are
// those of the configuration.
type numbers struct {
	set metrics.Set

	decisions *metrics.Counters
	seconds   *metrics.Histograms
	foreign   *metrics.Counter
	auditLost *metrics.Counter
	reloads   *metrics.Counters

	mu       sync.Mutex                       // held to change services
	services atomic.Pointer[map[string]usual] // a map that is here does not change

	loadedAt atomic.Int64 // Unix time of the last configuration that was taken over
	lastGood atomic.Bool
}

// emit is how a gauge says its values.
type emit = func(value float64, labels ...string)

func newNumbers(d *server) *numbers {
	n := &numbers{}
	n.services.Store(&map[string]usual{})
	n.decisions = n.set.Counters("oidcbox_verifier_decisions_total",
		"Decisions by service, HTTP status and error code.", "service", "status", "error")
	n.seconds = n.set.Histograms("oidcbox_verifier_decision_seconds", "Time a decision took.",
		[]float64{25e-6, 100e-6, 500e-6, 0.0025, 0.01, 0.05, 0.25, 1, 5}, "service")
	n.foreign = n.set.Counter("oidcbox_verifier_foreign_requests_total",
		"Requests that were not of a proxy of ours.")
	n.auditLost = n.set.Counter("oidcbox_verifier_audit_lost_total",
		"Audit records that could not be written.")
	n.reloads = n.set.Counters("oidcbox_verifier_reloads_total", "Configurations read, by result.", "result")
	n.reloads.With("ok")
	n.reloads.With("failed")
	n.set.Gauge("oidcbox_verifier_config_loaded_timestamp_seconds", "When the configuration in use was read.", nil,
		func(e emit) { e(float64(n.loadedAt.Load())) })
	n.set.Gauge("oidcbox_verifier_config_last_reload_successful", "Whether the last configuration was taken over.", nil,
		func(e emit) { e(truth(n.lastGood.Load())) })
	d.keyGauges(n)
	d.cacheGauges(n)
	return n
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (d *server) keyGauges(n *numbers) {
	label := []string{"issuer"}
	n.set.Gauge("oidcbox_verifier_keys", "Keys in use of an issuer.", label, func(e emit) {
		for _, s := range d.keys.Status() {
			e(float64(s.Keys), s.Issuer)
		}
	})
	const age, expiry = "oidcbox_verifier_keys_age_seconds", "oidcbox_verifier_keys_expiry_timestamp_seconds"
	n.set.Gauge(age, "Time since the keys of an issuer were fetched.", label, func(e emit) {
		now := d.env.Now()
		for _, s := range d.keys.Status() {
			if s.Keys > 0 {
				e(max(now.Sub(s.Fetched), 0).Seconds(), s.Issuer)
			}
		}
	})
	n.set.Gauge(expiry, "When the keys of an issuer can no longer be used.", label, func(e emit) {
		for _, s := range d.keys.Status() {
			if s.Keys > 0 {
				e(float64(s.Expires.Unix()), s.Issuer)
			}
		}
	})
	n.set.Gauge("oidcbox_verifier_keys_failures", "Fetches that failed since the last success.", label, func(e emit) {
		for _, s := range d.keys.Status() {
			e(float64(s.Failures), s.Issuer)
		}
	})
}

func (d *server) cacheGauges(n *numbers) {
	n.set.Gauge("oidcbox_verifier_cache_tokens", "Verified tokens that are remembered.", nil, func(e emit) {
		e(float64(d.live.Current().gate.Cache().Stats().Tokens))
	})
	n.set.Gauge("oidcbox_verifier_cache_bytes", "Memory of verified tokens.", nil, func(e emit) {
		e(float64(d.live.Current().gate.Cache().Stats().Bytes))
	})
	n.set.Gauge("oidcbox_verifier_cache_lookups", "Lookups of verified tokens since the start.", []string{"result"},
		func(e emit) {
			s := d.live.Current().gate.Cache().Stats()
			e(float64(s.Hits), "hit")
			e(float64(s.Misses), "miss")
		})
	n.set.Gauge("oidcbox_verifier_answers_bytes", "Memory of what issuers said of tokens.", nil, func(e emit) {
		_, _, bytes := d.live.Current().gate.Asked()
		e(float64(bytes))
	})
	n.set.Gauge("oidcbox_verifier_proofs", "Proofs of possession that are remembered.", nil, func(e emit) {
		e(float64(d.proofs.Remembered()))
	})
}

// usual are the numbers that nearly every decision about a service changes, kept where they are found at once.
type usual struct {
	allowed *metrics.Counter
	seconds *metrics.Histogram
}

// decided counts one decision.
func (n *numbers) decided(e *gate.Event) {
	u := n.usual(e.Request.Service)
	u.seconds.Observe(e.Took)
	if e.Refusal == nil {
		u.allowed.Add(1)
		return
	}
	n.decisions.With(e.Request.Service, strconv.Itoa(e.Refusal.Status), e.Refusal.Code).Add(1)
}

// usual returns the numbers of a service. There are as many as the configurations had.
func (n *numbers) usual(service string) usual {
	if u, ok := (*n.services.Load())[service]; ok {
		return u
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	next := maps.Clone(*n.services.Load())
	u := usual{allowed: n.decisions.With(service, "200", ""), seconds: n.seconds.With(service)}
	next[service] = u
	n.services.Store(&next)
	return u
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
