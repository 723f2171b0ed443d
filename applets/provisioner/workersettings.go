package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/account/worker"
	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/config"
)

const (
	defaultWorkerState = "/var/lib/oidcbox/worker"
	maxWorkerRate      = 1_000_000
)

// workerSettings are the configuration of a worker.
type workerSettings struct {
	file    string
	socket  string
	users   []string // names or numbers of who may ask
	state   string   // directory
	backend string

	unix   unixPlace
	ldap   ldapPlace
	regapp regappPlace
	exec   program
	// execNotEditable is the administrator's word for what the program says.
	execNotEditable bool

	limits     names.Limits
	groups     worker.Groups
	postCreate program
	adopt      bool
	rate       worker.Rate
	audit      string

	notes []config.Fault
}

// unixPlace is how local accounts are made.
type unixPlace struct {
	homeBase, skel, nologin string
	homeMode                fs.FileMode
	shells                  map[backend.Tier]string
}

// ldapPlace is a directory.
type ldapPlace struct {
	servers                            []string
	startTLS                           bool
	caFile, bindDN, passwordFile       string
	timeout                            time.Duration
	mode                               string
	userBase, groupBase, recordBase    string
	filter                             string
	idAttribute, nameAttribute         string
	keyAttribute, keyClass             string
	shells                             map[backend.Tier]string
	homeBase                           string
	fixedGroups                        map[string]uint32
	suspend, suspendName, suspendValue string
	notEditable                        bool
	probeDN, probePasswordFile         string
}

// regappPlace is a registration application.
type regappPlace struct {
	url, user, passwordFile, orgID, service, caFile string
	timeout, wait                                   time.Duration
}

func workerKeys() []string {
	return []string{
		"version", "socket", "users", "state", "backend", localUnix, ldapBackend, regappBackend, execBackend, "accounts", "groups",
		"post_create", "adopt", "rate", "audit",
	}
}

func unixKeys() []string { return []string{"home_base", "home_mode", "skel", "shells", "nologin"} }

func ldapKeys() []string {
	return []string{
		"servers", "start_tls", "ca_file", "bind_dn", "password_file", "timeout", "mode", "user_base", "group_base", "record_base",
		"filter", "id_attribute", "name_attribute", "key_attribute", "key_class", "shells", "home_base", "fixed_groups",
		"suspension", "not_editable", "probe",
	}
}
func suspensionKeys() []string { return []string{"method", "name", "value"} }
func probeKeys() []string      { return []string{"bind_dn", "password_file"} }
func regappKeys() []string {
	return []string{"url", "user", "password_file", "org_id", "service", "ca_file", "timeout", "wait"}
}
func workerGroupKeys() []string { return []string{"allow", "given"} }
func workerRateKeys() []string  { return []string{"creates", "changes"} }

// workerReader is a config.Reader for the keys of a worker.
type workerReader struct {
	*config.Reader
	s *workerSettings
}

// readWorkerSettings reads the configuration of a worker. The error is config.Faults, or why the file cannot be read.
func readWorkerSettings(name string) (*workerSettings, error) {
	b, err := config.ReadFile(name, config.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	// Who can change it has programs of his run as root.
	if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o022 != 0 {
		return nil, config.Faults{{File: name, Text: fmt.Sprintf(
			"can be changed by others than its owner (mode %04o): chmod go-w", info.Mode().Perm())}}
	}
	return parseWorkerSettings(name, b)
}

func parseWorkerSettings(name string, b []byte) (*workerSettings, error) {
	r := workerReader{config.NewReader(name), &workerSettings{file: name}}
	if top := r.Document(b); top.Present() {
		r.top(top)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	r.s.notes = r.Notes()
	return r.s, nil
}

func (r workerReader) top(top config.At) {
	f := r.Fields(top, workerKeys()...)
	r.Version(top, f, 1)
	r.Need(top, f, "users", "backend")
	s := r.s
	s.socket = r.pathOr(f["socket"], defaultWorker)
	s.state = r.pathOr(f["state"], defaultWorkerState)
	s.users = r.Texts(f["users"])
	s.backend = r.OneOf(f["backend"], localUnix, backends()...)
	for _, name := range backends() {
		if a := f[name]; a.Present() && name != s.backend {
			r.Fault(a, "is for backend: %s, and that is %s", name, s.backend)
		}
	}
	r.unix(f[localUnix])
	r.ldap(f[ldapBackend])
	r.regapp(f[regappBackend])
	switch a := f[execBackend]; {
	case a.Present():
		var more config.Fields
		s.exec, more = readProgram(r.Reader, a, "not_editable")
		s.execNotEditable = r.Bool(more["not_editable"], false)
	case s.backend == execBackend:
		r.Fault(top, "exec is missing: which program?")
	}
	limits := config.Fields{}
	if a := f["accounts"]; a.Present() {
		limits = r.Fields(a, limitKeys()...)
	}
	s.limits = readLimits(r.Reader, limits)
	r.groups(f["groups"])
	if a := f["post_create"]; a.Present() {
		s.postCreate, _ = readProgram(r.Reader, a)
	}
	s.adopt = r.Bool(f["adopt"], false)
	r.rate(f["rate"])
	s.audit = r.TextOr(f["audit"], "stdout")
	if !slices.Contains(audit.Streams(), s.audit) {
		s.audit, _ = r.Path(f["audit"])
	}
}

func (r workerReader) pathOr(a config.At, fallback string) string {
	if path, ok := r.Path(a); ok {
		return path
	}
	return fallback
}

func (r workerReader) unix(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, unixKeys()...)
	}
	u := &r.s.unix
	u.homeBase = r.absolute(f["home_base"], "")
	u.homeMode = r.Mode(f["home_mode"], 0)
	u.skel = r.absolute(f["skel"], "")
	u.nologin = r.absolute(f["nologin"], "")
	u.shells = r.shells(f["shells"])
	if r.s.backend == localUnix && len(u.shells) == 0 {
		r.Note(a, "there are no shells: nobody can work here (shells: {full: /bin/bash})")
	}
}

// shells reads the program of each tier; one that is not there is nologin.
func (r workerReader) shells(a config.At) map[backend.Tier]string {
	if !a.Present() {
		return nil
	}
	f := r.Fields(a, shellKeys()...)
	shells := map[backend.Tier]string{}
	for _, tier := range []backend.Tier{backend.Full, backend.Limited, backend.Restricted} {
		if path := r.absolute(f[string(tier)], ""); path != "" {
			shells[tier] = path
		}
	}
	return shells
}

// absolute reads a whole path: what is below the directory of a configuration means nothing in passwd.
func (r workerReader) absolute(a config.At, fallback string) string {
	s, ok := r.Text(a)
	if !ok {
		return fallback
	}
	if !filepath.IsAbs(s) || filepath.Clean(s) != s {
		r.Fault(a, "has to be a whole path in its shortest form")
	}
	return s
}

func (r workerReader) ldap(a config.At) {
	if !a.Present() {
		if r.s.backend == ldapBackend {
			r.Fault(a, "ldap is missing")
		}
		return
	}
	f := r.Fields(a, ldapKeys()...)
	r.Need(a, f, "servers", "user_base", "group_base")
	d := &r.s.ldap
	d.servers = r.Texts(f["servers"])
	d.startTLS = r.Bool(f["start_tls"], false)
	d.caFile, _ = r.Path(f["ca_file"])
	d.bindDN, _ = r.Text(f["bind_dn"])
	d.passwordFile = r.secretPath(f["password_file"])
	d.timeout = r.Duration(f["timeout"], 0, 100*time.Millisecond, time.Minute)
	d.mode = r.OneOf(f["mode"], "read_only", "read_only", "pre_created", "full_access")
	d.userBase, _ = r.Text(f["user_base"])
	d.groupBase, _ = r.Text(f["group_base"])
	d.recordBase, _ = r.Text(f["record_base"])
	d.filter, _ = r.Text(f["filter"])
	d.idAttribute, _ = r.Text(f["id_attribute"])
	d.nameAttribute, _ = r.Text(f["name_attribute"])
	d.keyAttribute, _ = r.Text(f["key_attribute"])
	d.keyClass, _ = r.Text(f["key_class"])
	d.shells = r.shells(f["shells"])
	d.homeBase = r.absolute(f["home_base"], "")
	d.notEditable = r.Bool(f["not_editable"], false)
	r.ldapMore(f, d)
}

func (r workerReader) ldapMore(f config.Fields, d *ldapPlace) {
	if a := f["fixed_groups"]; a.Present() {
		d.fixedGroups = map[string]uint32{}
		for _, p := range r.Pairs(a) {
			d.fixedGroups[p.Name] = uint32(r.Int(p.At, 0, 1, 1<<31-1)) //nolint:gosec // within the bounds of a gid
		}
	}
	if a := f["suspension"]; a.Present() {
		s := r.Fields(a, suspensionKeys()...)
		r.Need(a, s, "method")
		d.suspend, _ = r.Text(s["method"])
		d.suspendName, _ = r.Text(s["name"])
		d.suspendValue, _ = r.Text(s["value"])
	}
	if a := f["probe"]; a.Present() {
		p := r.Fields(a, probeKeys()...)
		r.Need(a, p, probeKeys()...)
		d.probeDN, _ = r.Text(p["bind_dn"])
		d.probePasswordFile = r.secretPath(p["password_file"])
	}
}

// secretPath is the name of a file with a secret, which is read when it is needed.
func (r workerReader) secretPath(a config.At) string {
	path, ok := r.Path(a)
	if ok {
		_, _ = r.SecretFile(a)
	}
	return path
}

func (r workerReader) regapp(a config.At) {
	if !a.Present() {
		if r.s.backend == regappBackend {
			r.Fault(a, "regapp is missing")
		}
		return
	}
	f := r.Fields(a, regappKeys()...)
	r.Need(a, f, "url", "user", "password_file", "org_id", "service")
	p := &r.s.regapp
	p.url, _ = r.URL(f["url"], "https", "http")
	p.user, _ = r.Text(f["user"])
	p.passwordFile = r.secretPath(f["password_file"])
	p.orgID, _ = r.Text(f["org_id"])
	p.service, _ = r.Text(f["service"])
	p.caFile, _ = r.Path(f["ca_file"])
	p.timeout = r.Duration(f["timeout"], 0, time.Second, 10*time.Minute)
	p.wait = r.Duration(f["wait"], 0, time.Second, 10*time.Minute)
}

func (r workerReader) groups(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, workerGroupKeys()...)
	r.s.groups = worker.Groups{Allow: r.Texts(f["allow"]), Given: r.Texts(f["given"])}
	if err := r.s.groups.Check(); err != nil {
		r.Fault(a, "%v", err)
	}
}

func (r workerReader) rate(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, workerRateKeys()...)
	r.s.rate = worker.Rate{
		Creates: r.Int(f["creates"], 0, 1, maxWorkerRate), Changes: r.Int(f["changes"], 0, 1, maxWorkerRate),
	}
}

// errNobody: a user of the configuration is not there.
var errNobody = errors.New("there is no such user")

// userOf finds a user by name or number.
func userOf(ctx context.Context, name string) (sysuser.User, error) {
	if uid, err := strconv.ParseUint(name, 10, 32); err == nil {
		u, err := sysuser.DB{}.ByUID(ctx, uint32(uid))
		if errors.Is(err, sysuser.ErrNone) { // it needs no name
			return sysuser.User{UID: uint32(uid), GID: uint32(uid)}, nil
		}
		return u, err
	}
	u, err := sysuser.DB{}.User(ctx, name)
	if errors.Is(err, sysuser.ErrNone) {
		return u, fmt.Errorf("%w: %s", errNobody, name)
	}
	return u, err
}
