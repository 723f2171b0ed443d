package mytokenserver

import (
	"errors"
	"reflect"
	"strings"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon"
)

// errIssuerChanged is told when a new configuration has another issuer: every mytoken carries the old one.
var errIssuerChanged = errors.New("issuer has changed, which takes a restart, and makes all mytokens useless")

// reload takes a new configuration and new keys over, whole or not at all.
func (d *server) reload() {
	// Whatever becomes of the configuration, a log that was moved away is begun anew.
	if err := d.audit.Reopen(); err != nil {
		d.log.Error("the audit goes on into the old file", "op", "reload", "err", err)
	}
	s, next, keys, err := d.prepare()
	d.numbers.loaded(d.env.Now(), err == nil)
	if err != nil {
		d.log.Error("the new configuration is not used, the old one goes on", "op", "reload", "file", d.started.file)
		for _, line := range daemon.Lines(err) {
			d.log.Error(line, "op", "reload")
		}
		d.manager.Notify("READY=1\nSTATUS=serving by the old configuration: the new one has faults")
		return
	}
	if err := d.signer.use(keys); err != nil {
		d.log.Error("the old signing key stays in use", "op", "reload", "err", err)
	}
	if err := d.sockets.Renew(s.listen); err != nil {
		d.log.Error("an old certificate stays in use", "op", "reload", "err", err)
	}
	d.live.Swap(next)
	for _, n := range append(s.notes, d.restartNeeded(s)...) {
		d.log.Warn(n.String(), "op", "reload")
	}
	d.log.Info("configuration read anew", "op", "reload", "file", d.started.file, "providers", len(s.providers),
		"keys", len(keys), "signs", keys[0].ID())
	d.manager.Notify("READY=1\nSTATUS=serving " + d.started.issuer)
}

// prepare makes everything new that a reload changes, and changes nothing.
func (d *server) prepare() (*settings, *generation, []signingKey, error) {
	s, err := readSettings(d.started.file)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.issuer != d.started.issuer {
		return nil, nil, nil, errIssuerChanged
	}
	keys, err := loadKeys(s.keys.dir)
	if err != nil {
		return nil, nil, nil, err
	}
	next, err := d.build(s)
	return s, next, keys, err
}

// restartNeeded says which changes of a new configuration wait for a restart.
func (d *server) restartNeeded(s *settings) []config.Fault {
	r := daemon.Restart{File: s.file}
	r.Note("listen", reflect.DeepEqual(d.started.listen, s.listen))
	r.Note("control", d.started.control == s.control)
	r.Note("state", d.started.state == s.state)
	r.Note("audit", d.started.audit == s.audit)
	r.Note("metrics", d.started.metrics == s.metrics)
	r.Note("ssh", reflect.DeepEqual(d.started.ssh, s.ssh))
	r.Note("mail", d.started.mail.open == s.mail.open && d.started.mail.Same(s.mail.Config))
	r.Note("retention", d.started.retention == s.retention)
	r.Note("limits", d.started.conns == s.conns && d.started.grace == s.grace)
	return r.Notes
}

// oneCell is daemon.OneLine for a cell of a table.
func oneCell(s string) string { return strings.ReplaceAll(daemon.OneLine(s), "\t", " ") }
