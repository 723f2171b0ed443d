package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/dryrun"
	"github.com/oidcbox/oidcbox/core/account/execdir"
	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/regapp"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/account/unixdir"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
)

// system makes the account system of the configuration.
func (w *workerDaemon) system(ctx context.Context) (backend.System, error) {
	log := w.env.Log
	switch w.settings.backend {
	case localUnix:
		p := w.settings.unix
		return unixdir.New(unixdir.Options{
			Limits: w.settings.limits, HomeBase: p.homeBase, HomeMode: p.homeMode, Skel: p.skel, Shells: p.shells,
			NoLogin: p.nologin, Given: w.settings.groups.Given, Log: log, Now: w.env.Now,
		})
	case ldapBackend:
		return w.ldap(ctx)
	case regappBackend:
		return w.regapp()
	case execBackend:
		return execdir.New(execdir.Options{
			Command: w.settings.exec.command, Timeout: w.settings.exec.timeout, Limits: w.settings.limits, Look: look, Taken: taken,
			NotEditable: w.settings.execNotEditable,
		})
	}
	return dryrun.New(dryrun.Options{
		Limits: w.settings.limits, Shells: w.settings.unix.shells,
		Would: func(_ context.Context, what string) { log.Info(what, "op", "dryrun") },
	}), nil
}

func (w *workerDaemon) ldap(ctx context.Context) (backend.System, error) {
	p := w.settings.ldap
	o := ldapdir.Options{
		Servers: p.servers, StartTLS: p.startTLS, CAFile: p.caFile, BindDN: p.bindDN, Timeout: p.timeout,
		Mode: ldapdir.Mode(p.mode), UserBase: p.userBase, GroupBase: p.groupBase, RecordBase: p.recordBase, Filter: p.filter,
		IDAttribute: p.idAttribute, NameAttribute: p.nameAttribute, KeyAttribute: p.keyAttribute, KeyClass: p.keyClass,
		Shells: p.shells, HomeBase: p.homeBase, Limits: w.settings.limits, FixedGroups: p.fixedGroups,
		Suspension:  ldapdir.Suspension{Method: ldapdir.Method(p.suspend), Name: p.suspendName, Value: p.suspendValue},
		NotEditable: p.notEditable, Taken: taken, End: w.ending(), Now: w.env.Now, Log: w.env.Log,
	}
	var err error
	if o.Password, err = readSecret(p.passwordFile); err != nil {
		return nil, err
	}
	if p.probeDN != "" {
		probe := ldapdir.Login{DN: p.probeDN}
		if probe.Password, err = readSecret(p.probePasswordFile); err != nil {
			return nil, err
		}
		o.Probe = &probe
	}
	d, err := ldapdir.New(o)
	if err != nil {
		return nil, err
	}
	w.shut = d.Close
	if err := d.Check(ctx); err != nil { // it may be down for now: then people wait, and the administrator reads why
		w.env.Log.Error("the directory does not do what is needed", "op", "start", "err", err)
	}
	return d, nil
}

func (w *workerDaemon) regapp() (backend.System, error) {
	p := w.settings.regapp
	password, err := readSecret(p.passwordFile)
	if err != nil {
		return nil, err
	}
	return regapp.New(regapp.Options{
		URL: p.url, User: p.user, Password: password, OrgID: p.orgID, Service: p.service, CAFile: p.caFile, Getenv: w.env.Getenv,
		Timeout: p.timeout, Wait: p.wait, Limits: w.settings.limits, Look: look, Taken: taken, End: w.ending(),
	})
}

// ending ends what people of a directory run on this host; nil where we may not, or there is nothing of the kind.
func (w *workerDaemon) ending() func(context.Context, backend.Account) error {
	here, err := unixdir.New(unixdir.Options{Limits: w.settings.limits, Log: w.env.Log, Now: w.env.Now})
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	return here.EndSessions
}

// look finds what this host knows of a user.
func look(ctx context.Context, name string) (backend.Account, error) {
	u, err := sysuser.DB{}.User(ctx, name)
	switch {
	case errors.Is(err, sysuser.ErrNone):
		return backend.Account{}, backend.ErrNoAccount
	case err != nil:
		return backend.Account{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	return backend.Account{Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Shell: u.Shell}, nil
}

// taken asks the users and groups of this host about a name.
func taken(ctx context.Context, name string) (bool, error) {
	var db sysuser.DB
	for _, ask := range []func() error{
		func() error { _, err := db.User(ctx, name); return err },
		func() error { _, err := db.Group(ctx, name); return err },
	} {
		if err := ask(); !errors.Is(err, sysuser.ErrNone) {
			return err == nil, err
		}
	}
	return false, nil
}

// maxSecretFile is what a file with a password may have.
const maxSecretFile = 8 << 10

// readSecret reads a password, none where there is no file.
func readSecret(file string) (secret.Text, error) {
	if file == "" {
		return secret.Text{}, nil
	}
	b, err := config.ReadFile(file, maxSecretFile)
	if err != nil {
		return secret.Text{}, err
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return secret.New(b), nil
}

// open makes the site's own source of names; nil where there is none.
func (n nameSource) open() (names.External, error) {
	switch {
	case n.program.command != nil:
		return external(execdir.NewNames(execdir.NamesOptions{Command: n.program.command, Timeout: n.program.timeout}))
	case n.ldap.server != "":
		password, err := readSecret(n.ldap.passwordFile)
		if err != nil {
			return nil, err
		}
		return external(ldapdir.NewNames(ldapdir.NamesOptions{
			Servers: []string{n.ldap.server}, CAFile: n.ldap.caFile, BindDN: n.ldap.bindDN, Password: password,
			Timeout: n.ldap.timeout, Base: n.ldap.base, Filter: n.ldap.filter, Attribute: n.ldap.attribute,
		}))
	}
	return nil, nil //nolint:nilnil // there is none, which is no error
}

// external is a source of names, or none: an interface with nothing in it is not nil.
func external[S names.External](source S, err error) (names.External, error) {
	if err != nil {
		return nil, err
	}
	return source, nil
}
