package verifier

import (
	"reflect"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon"
)

// reload takes a new configuration over, whole or not at all.
func (d *server) reload() {
	// Whatever becomes of the configuration, a log that was moved away is begun anew.
	if err := d.audit.Reopen(); err != nil {
		d.log.Error("the audit goes on into the old file", "op", "reload", "err", err)
	}
	s, err := readSettings(d.name)
	var next *generation
	if err == nil {
		next, err = d.build(s)
	}
	d.numbers.loaded(d.env.Now(), err == nil)
	if err != nil {
		d.log.Error("the new configuration is not used, the old one goes on", "op", "reload", "file", d.name)
		for _, line := range daemon.Lines(err) {
			d.log.Error(line, "op", "reload")
		}
		d.manager.Notify("READY=1\nSTATUS=answering by the old configuration: the new one has faults")
		return
	}
	d.keys.Trust(s.gate.Trusted())
	d.certificates(s)
	d.live.Swap(next)
	for _, n := range append(s.notes, d.restartNeeded(s)...) {
		d.log.Warn(n.String(), "op", "reload")
	}
	d.log.Info("configuration read anew", "op", "reload", "file", d.name, "issuers", len(s.gate.Issuers))
	d.manager.Notify("READY=1\nSTATUS=answering")
}

// restartNeeded says which changes of a new configuration wait for a restart.
func (d *server) restartNeeded(s *settings) []config.Fault {
	r := daemon.Restart{File: d.name}
	r.Note("listen", reflect.DeepEqual(d.started.listen, s.listen))
	r.Note("control", d.started.control == s.control)
	r.Note("ca_file", d.started.caFile == s.caFile)
	r.Note("keys.dir", d.started.keysDir == s.keysDir)
	r.Note("dpop", d.started.dpop.nonces == s.dpop.nonces && d.started.dpop.nonceKey.Equal(s.dpop.nonceKey))
	r.Note("audit", d.started.audit == s.audit)
	r.Note("metrics", d.started.metrics.listen == s.metrics.listen)
	r.Note("limits", d.started.limits == s.limits)
	return r.Notes
}
