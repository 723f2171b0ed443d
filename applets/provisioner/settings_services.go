package provisioner

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

const (
	defaultSession  = 30 * time.Minute
	defaultLinkLife = 7 * 24 * time.Hour
	hostKeyPattern  = "/etc/ssh/ssh_host_*_key.pub"
)

func (r reader) info(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, infoKeys()...)
	r.Need(a, f, "ssh_host")
	i := &r.s.info
	i.Description = r.TextOr(f["description"], "ssh login")
	i.LoginHelp, _ = r.Text(f["login_help"])
	i.SSHHost, _ = r.Text(f["ssh_host"])
	// Clients put it behind "ssh USER@", and people copy that into a shell.
	odd := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("'\"\\`$;&|<>()*?", c) }
	if strings.ContainsFunc(i.SSHHost, odd) || strings.HasPrefix(i.SSHHost, "-") {
		r.Fault(f["ssh_host"], "has to be the name of a host")
	}
}

// keysOfHost reads where the public keys of the host are; which of them are there is seen when they are told.
func (r reader) keysOfHost(a config.At) {
	switch {
	case !a.Present():
		r.s.hostKeys = []string{hostKeyPattern}
	case a.Raw() == word:
	default:
		for _, at := range oneOrMore(r.Reader, a) {
			if name, ok := r.Path(at); ok {
				r.s.hostKeys = append(r.s.hostKeys, name)
			}
		}
	}
	if slices.ContainsFunc(r.s.hostKeys, func(name string) bool {
		return !strings.HasSuffix(name, ".pub") || !filepath.IsAbs(name)
	}) {
		r.Fault(a, "has to be public keys (.pub): what stands there is told to everybody")
	}
}

func oneOrMore(r *config.Reader, a config.At) []config.At {
	if a.Kind() == config.List {
		return r.List(a)
	}
	if !a.Present() {
		return nil
	}
	return []config.At{a}
}

func (r reader) passwords(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, passwordsKeys()...)
	}
	o := &r.s.passwords
	o.Off = !r.Bool(f["on"], true)
	o.CompatOff = !r.Bool(f["compatible"], true)
	o.Life = r.Duration(f["life"], 0, 10*time.Second, time.Hour)
	o.CompatLife = r.Duration(f["compatible_life"], 0, 10*time.Second, time.Hour)
	o.Kept = r.Int(f["kept"], 0, 1, 100)
}

func (r reader) pages(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, pagesKeys()...)
	}
	r.s.pages.on = r.Bool(f["on"], true)
	r.s.pages.session = r.Duration(f["session"], defaultSession, time.Minute, 24*time.Hour)
}

func (r reader) approval(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, approvalKeys()...)
	r.Need(a, f, "admins")
	p := &r.s.approval
	for _, s := range r.Texts(f["admins"]) {
		to, err := mail.ParseAddress(s)
		if err != nil {
			r.Fault(f["admins"], "%v", err)
			continue
		}
		p.admins = append(p.admins, to)
	}
	p.templates, _ = r.Path(f["templates_dir"])
	p.linkLife = r.Duration(f["link_life"], defaultLinkLife, time.Hour, 60*24*time.Hour)
}

func (r reader) api(a, privacy config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, apiKeys()...)
	}
	p := &r.s.api
	p.noGet = !r.Bool(f["changes_by_get"], true)
	if p.noGet {
		r.Note(f["changes_by_get"], "clients of motley-cue (mccli) do not work: they change things by GET")
	}
	p.version, _ = r.Text(f["version"])
	if strings.ContainsAny(p.version, "/?#% ") {
		r.Fault(f["version"], "has to be one part of a path, such as v1")
	}
	p.docs = httpapi.Docs{Path: r.webPath(f["docs"]), RedocPath: r.webPath(f["redoc"])}
	if privacy.Present() {
		s := r.Fields(privacy, privacyKeys()...)
		r.Need(privacy, s, "file")
		p.privacy, _ = r.Path(s["file"])
		p.mail, _ = r.Text(s["contact"])
	}
}

func (r reader) webPath(a config.At) string {
	s, ok := r.Text(a)
	if ok && (!strings.HasPrefix(s, "/") || strings.ContainsAny(s, "?#% {}")) {
		r.Fault(a, "has to be a path, such as /docs")
	}
	return s
}

func (r reader) limits(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, limitsKeys()...)
	}
	r.s.conns = r.Int(f["connections"], defaultConns, 1, 1<<20)
	r.s.grace = r.Duration(f["grace"], defaultGrace, time.Second, 10*time.Minute)
	r.s.rates = httpapi.Rates{
		Address: r.rate(f["requests"]), Guesses: r.rate(f["guesses"]), Changes: r.rate(f["changes"]),
	}
	if f["exempt"].Present() {
		r.s.rates.Exempt, _ = listen.Networks(r.Reader, f["exempt"], "")
	}
}

func (r reader) rate(a config.At) (rate httpapi.Rate) {
	if !a.Present() {
		return rate
	}
	f := r.Fields(a, rateKeys()...)
	r.Need(a, f, rateKeys()...)
	rate.Events = r.Int(f["count"], 0, 1, 1_000_000)
	rate.Per = r.Duration(f["per"], 0, time.Second, 24*time.Hour)
	return rate
}
