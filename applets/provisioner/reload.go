package provisioner

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
	s, err := readSettings(d.started.file)
	var next *generation
	if err == nil {
		next, err = d.build(s)
	}
	d.numbers.loaded(d.env.Now(), err == nil)
	if err != nil {
		d.log.Error("the new configuration is not used, the old one goes on", "op", "reload", "file", d.started.file)
		for _, line := range daemon.Lines(err) {
			d.log.Error(line, "op", "reload")
		}
		d.manager.Notify("READY=1\nSTATUS=answering by the old configuration: the new one has faults")
		return
	}
	d.keys.Trust(s.trusted())
	if d.relays != nil {
		if err := d.relays.own.renew(); err != nil {
			d.log.Error("the old certificate for relays stays in use", "op", "reload", "err", err)
		}
	}
	if err := d.sockets.Renew(s.listen); err != nil {
		d.log.Error("an old certificate stays in use", "op", "reload", "err", err)
	}
	d.live.Swap(next)
	next.start()
	for _, n := range append(s.notes, d.restartNeeded(s)...) {
		d.log.Warn(n.String(), "op", "reload")
	}
	d.log.Info("configuration read anew", "op", "reload", "file", d.started.file, "issuers", len(s.issuers))
	d.manager.Notify("READY=1\nSTATUS=answering")
}

// restartNeeded says which changes of a new configuration wait for a restart.
func (d *server) restartNeeded(s *settings) []config.Fault {
	r := daemon.Restart{File: s.file}
	r.Note("listen", reflect.DeepEqual(d.started.listen, s.listen))
	r.Note("login", d.started.login == s.login)
	r.Note("control", d.started.control == s.control)
	r.Note("worker", d.started.worker == s.worker)
	r.Note("relays", reflect.DeepEqual(d.started.relays, s.relays))
	r.Note("ca_file", d.started.caFile == s.caFile)
	r.Note("state", d.started.state == s.state)
	r.Note("keys.dir", d.started.keysDir == s.keysDir)
	r.Note("audit", d.started.audit == s.audit)
	r.Note("metrics", d.started.metrics == s.metrics)
	r.Note("limits", d.started.conns == s.conns && d.started.grace == s.grace && reflect.DeepEqual(d.started.rates, s.rates))
	return r.Notes
}
