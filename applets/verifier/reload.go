package verifier

import (
	"context"
	"os"
	"reflect"

	"github.com/oidcbox/oidcbox/core/config"
)

// reloads reads the configuration anew at every SIGHUP.
func (d *daemon) reloads(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			d.notify(reloading())
			d.reload()
		}
	}
}

// reload takes a new configuration over, whole or not at all.
func (d *daemon) reload() {
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
		for _, line := range lines(err) {
			d.log.Error(line, "op", "reload")
		}
		d.notify("READY=1\nSTATUS=answering by the old configuration: the new one has faults")
		return
	}
	d.keys.Trust(s.gate.Trusted())
	d.certificates(s)
	d.live.swap(next)
	for _, n := range append(s.notes, d.restartNeeded(s)...) {
		d.log.Warn(n.String(), "op", "reload")
	}
	d.log.Info("configuration read anew", "op", "reload", "file", d.name, "issuers", len(s.gate.Issuers))
	d.notify("READY=1\nSTATUS=answering")
}

func lines(err error) []string {
	faults := faultsOf(err)
	if faults == nil {
		return []string{oneLine(err.Error())}
	}
	list := make([]string, len(faults))
	for i, f := range faults {
		list[i] = f.String()
	}
	return list
}

// restartNeeded says which changes of a new configuration wait for a restart.
func (d *daemon) restartNeeded(s *settings) []config.Fault {
	var list []config.Fault
	note := func(key string, same bool) {
		if !same {
			list = append(list, config.Fault{File: d.name, Key: key, Text: "has changed, which takes a restart"})
		}
	}
	note("listen", reflect.DeepEqual(d.started.listen, s.listen))
	note("control", d.started.control == s.control)
	note("ca_file", d.started.caFile == s.caFile)
	note("keys.dir", d.started.keysDir == s.keysDir)
	note("dpop", d.started.dpop.nonces == s.dpop.nonces && d.started.dpop.nonceKey.Equal(s.dpop.nonceKey))
	note("audit", d.started.audit == s.audit)
	note("metrics", d.started.metrics.listen == s.metrics.listen)
	note("limits", d.started.limits == s.limits)
	return list
}
