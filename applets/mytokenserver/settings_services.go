package mytokenserver

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

// pagesPlace is about the web pages.
type pagesPlace struct {
	on      bool
	session time.Duration
}

// sshPlace is the ssh server; listen "" for none.
type sshPlace struct {
	listen      string
	host        string // as clients reach it
	port        int
	keys        []string // files
	proxies     []netip.Prefix
	connections int
	perAddress  int
}

// mailPlace is the mail server; host "" for none.
type mailPlace struct {
	mail.Config
	open bool
}

func pagesKeys() []string { return []string{"on", "session"} }
func groupKeys() []string { return []string{"password_file"} }
func askerKeys() []string { return []string{"secret_file"} }

func sshKeys() []string {
	return []string{"listen", "host", "port", "host_key_files", "proxies", "connections", "per_address"}
}

const (
	defaultSession    = 7 * 24 * time.Hour
	minGroupSecret    = 12
	minAskerSecret    = 16
	defaultSSHConns   = 256
	defaultSSHAddress = 16
)

func (r settingsReader) pages(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, pagesKeys()...)
	}
	r.s.pages.on = r.Bool(f["on"], true)
	r.s.pages.session = r.Duration(f["session"], defaultSession, 5*time.Minute, 90*24*time.Hour)
}

func (r settingsReader) ssh(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, sshKeys()...)
	r.Need(a, f, "listen", "host", "host_key_files")
	p := &r.s.ssh
	p.listen = listen.Address(r.Reader, f["listen"])
	p.host, _ = r.Text(f["host"])
	_, port, _ := net.SplitHostPort(p.listen)
	given, _ := strconv.Atoi(port)
	p.port = r.Int(f["port"], max(given, 1), 1, 65535)
	for _, at := range r.oneOrMore(f["host_key_files"]) {
		if name, ok := r.Path(at); ok {
			p.keys = append(p.keys, name)
		}
	}
	if f["proxies"].Present() {
		p.proxies, _ = listen.Networks(r.Reader, f["proxies"], "")
	}
	p.connections = r.Int(f["connections"], defaultSSHConns, 1, 1<<16)
	p.perAddress = r.Int(f["per_address"], defaultSSHAddress, 1, 1<<16)
}

func (r settingsReader) oneOrMore(a config.At) []config.At {
	if a.Kind() == config.List {
		return r.List(a)
	}
	if !a.Present() {
		return nil
	}
	return []config.At{a}
}

func (r settingsReader) mail(a config.At) {
	r.s.mail.open = a.Present()
	r.s.mail.Config = mail.Read(r.Reader, a)
}

// secrets reads passwords by their names.
func (r settingsReader) secrets(a config.At, key string, least int) map[string]secret.Text {
	if !a.Present() {
		return nil
	}
	list := map[string]secret.Text{}
	for _, p := range r.Pairs(a) {
		f := r.Fields(p.At, key)
		r.Need(p.At, f, key)
		text, ok := r.SecretFile(f[key])
		if ok && text.Len() < least {
			r.Fault(f[key], "the secret has less than %d bytes", least)
		}
		list[p.Name] = text
	}
	return list
}
