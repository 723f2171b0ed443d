package listen

import (
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/config"
)

// Place is one place where a daemon listens.
type Place struct {
	TCP  string // ADDRESS:PORT; "" for another kind
	Unix string // absolute path
	Mode fs.FileMode
	// Group owns the Unix socket; "": that of the process.
	Group   string
	Systemd bool
	Name    string // of the socket unit's descriptor; "": every one that is handed over
	// Cert and Key are the PEM files of TLS; "": none.
	Cert, Key string
}

// Reachable reports whether other machines may reach it. Of what systemd hands over nobody knows before.
func (p Place) Reachable() bool { return p.TCP != "" && !Loopback(p.TCP) }

// Loopback reports whether ADDRESS:PORT is on this machine alone.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ipErr == nil && ip.Unmap().IsLoopback())
}

// PlaceKeys are the keys of a place that is a mapping, TLSKeys those below tls.
func PlaceKeys() []string { return []string{"tcp", "unix", "systemd", "mode", "group", "tls"} }

// TLSKeys is described at PlaceKeys.
func TLSKeys() []string { return []string{"cert_file", "key_file"} }

const unixPrefix = "unix:"

// Read reads one place or a list of them. each, which may be nil, is told of every one that was understood, so that the
// role can find fault with it.
func Read(r *config.Reader, a config.At, each func(config.At, Place)) []Place {
	at := []config.At{a}
	if a.Kind() == config.List {
		if at = r.List(a); len(at) == 0 {
			r.Fault(a, "the list is empty")
		}
	}
	var list []Place
	for _, one := range at {
		p, ok := read(r, one)
		if !ok {
			continue
		}
		list = append(list, p)
		if each != nil {
			each(one, p)
		}
	}
	return list
}

func read(r *config.Reader, a config.At) (p Place, ok bool) {
	p.Mode = 0o600
	if a.Kind() == config.Mapping {
		return readMapping(r, a)
	}
	s, ok := r.Text(a)
	if !ok {
		return p, false
	}
	path, isUnix := strings.CutPrefix(s, unixPrefix)
	switch {
	case s == "systemd":
		p.Systemd = true
	case isUnix && path != "":
		if p.Unix = path; !filepath.IsAbs(path) {
			p.Unix = filepath.Join(r.Dir(), path)
		}
	default:
		p.TCP = address(r, a)
	}
	return p, true
}

func readMapping(r *config.Reader, a config.At) (Place, bool) {
	f := r.Fields(a, PlaceKeys()...)
	p := Place{Mode: r.Mode(f["mode"], 0o600)}
	if f["tcp"].Present() {
		p.TCP = address(r, f["tcp"])
	}
	p.Unix, _ = r.Path(f["unix"])
	if s := f["systemd"]; s.Present() {
		p.Systemd = true
		if s.Kind() != config.Bool {
			p.Name, _ = r.Text(s)
		}
	}
	p.Group, _ = r.Text(f["group"])
	readTLS(r, f["tls"], &p)
	kinds := 0
	for _, name := range []string{"tcp", "unix", "systemd"} {
		if f[name].Present() {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		r.Fault(a, "has to have one of tcp, unix and systemd")
	case !f["unix"].Present() && (f["mode"].Present() || f["group"].Present()):
		r.Fault(a, "mode and group are for unix; of a socket of systemd the unit says them")
	case !f["tcp"].Present() && f["tls"].Present():
		r.Fault(a, "tls is for tcp")
	}
	return p, true
}

func readTLS(r *config.Reader, a config.At, p *Place) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, TLSKeys()...)
	r.Need(a, f, "cert_file", "key_file")
	p.Cert, _ = r.Path(f["cert_file"])
	p.Key, _ = r.Path(f["key_file"])
	if p.Cert != "" && p.Key != "" {
		if _, err := loadPair(*p); err != nil {
			r.Fault(a, "%v", err)
		}
	}
}

// Address reads HOST:PORT, where HOST is a number or localhost: a name could come to mean another machine. "" when it is
// absent, or wrong and said.
func Address(r *config.Reader, a config.At) string {
	if !a.Present() {
		return ""
	}
	return address(r, a)
}

func address(r *config.Reader, a config.At) string {
	s, ok := r.Text(a)
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if _, ipErr := netip.ParseAddr(host); err != nil || ipErr != nil && host != "localhost" && host != "" {
		r.Fault(a, "has to be ADDRESS:PORT with a numeric address (127.0.0.1:9100, [::1]:9100), unix:PATH or systemd")
		return ""
	}
	return s
}
