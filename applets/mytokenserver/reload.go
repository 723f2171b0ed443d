package mytokenserver

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
)

// errIssuerChanged is told when a new configuration has another issuer: every mytoken carries the old one.
var errIssuerChanged = errors.New("issuer has changed, which takes a restart, and makes all mytokens useless")

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

// reload takes a new configuration and new keys over, whole or not at all.
func (d *daemon) reload() {
	// Whatever becomes of the configuration, a log that was moved away is begun anew.
	if err := d.audit.Reopen(); err != nil {
		d.log.Error("the audit goes on into the old file", "op", "reload", "err", err)
	}
	s, next, keys, err := d.prepare()
	d.numbers.loaded(d.env.Now(), err == nil)
	if err != nil {
		d.log.Error("the new configuration is not used, the old one goes on", "op", "reload", "file", d.started.file)
		for _, line := range lines(err) {
			d.log.Error(line, "op", "reload")
		}
		d.notify("READY=1\nSTATUS=serving by the old configuration: the new one has faults")
		return
	}
	if err := d.signer.use(keys); err != nil {
		d.log.Error("the old signing key stays in use", "op", "reload", "err", err)
	}
	if err := d.sockets.Renew(s.listen); err != nil {
		d.log.Error("an old certificate stays in use", "op", "reload", "err", err)
	}
	d.live.swap(next)
	for _, n := range append(s.notes, d.restartNeeded(s)...) {
		d.log.Warn(n.String(), "op", "reload")
	}
	d.log.Info("configuration read anew", "op", "reload", "file", d.started.file, "providers", len(s.providers),
		"keys", len(keys), "signs", keys[0].ID())
	d.notify("READY=1\nSTATUS=serving " + d.started.issuer)
}

// prepare makes everything new that a reload changes, and changes nothing.
func (d *daemon) prepare() (*settings, *generation, []signingKey, error) {
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

// oneLine makes a text one line that a terminal shows as it is.
func oneLine(s string) string {
	return cli.Printable(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "))
}

// restartNeeded says which changes of a new configuration wait for a restart.
func (d *daemon) restartNeeded(s *settings) []config.Fault {
	var list []config.Fault
	note := func(key string, same bool) {
		if !same {
			list = append(list, config.Fault{File: s.file, Key: key, Text: "has changed, which takes a restart"})
		}
	}
	note("listen", reflect.DeepEqual(d.started.listen, s.listen))
	note("control", d.started.control == s.control)
	note("state", d.started.state == s.state)
	note("audit", d.started.audit == s.audit)
	note("metrics", d.started.metrics == s.metrics)
	note("ssh", reflect.DeepEqual(d.started.ssh, s.ssh))
	note("mail", sameMail(d.started.mail, s.mail))
	note("retention", d.started.retention == s.retention)
	note("limits", d.started.conns == s.conns && d.started.grace == s.grace)
	return list
}

// oneCell is oneLine for a cell of a table.
func oneCell(s string) string { return strings.ReplaceAll(oneLine(s), "\t", " ") }

// sameMail compares all but the certificates, which are not comparable.
func sameMail(a, b mailPlace) bool {
	return a.open == b.open && a.Host == b.Host && a.Port == b.Port && a.Security == b.Security && a.User == b.User &&
		a.Password.Equal(b.Password) && a.From == b.From && a.FromName == b.FromName
}
