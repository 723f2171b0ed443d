package provisioner

import (
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

// relaySettings are the configuration of a relay.
type relaySettings struct {
	file      string
	login     string
	listen    []listen.Place
	proxies   httpapi.Proxies
	hostKeys  []string // patterns of files; nil: those of the server are told
	server    string
	caFile    string
	cert, key string
	timeout   time.Duration
	metrics   string
	notes     []config.Fault
}

const defaultRelayTimeout = 2500 * time.Millisecond

func relayKeys() []string {
	return []string{
		"version", "login", "listen", "proxies", "ssh_host_keys", "server", "ca_file", "cert_file", "key_file", "timeout", "metrics",
	}
}

// readRelaySettings reads the configuration of a relay. The error is config.Faults, or why the file cannot be read.
func readRelaySettings(name string) (*relaySettings, error) {
	b, err := config.ReadFile(name, config.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parseRelaySettings(name, b)
}

func parseRelaySettings(name string, b []byte) (*relaySettings, error) {
	r, s := reader{config.NewReader(name), &settings{}}, &relaySettings{file: name, login: defaultLogin}
	if top := r.Document(b); top.Present() {
		s.read(r, top)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	s.notes = r.Notes()
	return s, nil
}

func (s *relaySettings) read(r reader, top config.At) {
	f := r.Fields(top, relayKeys()...)
	r.Version(top, f, 1)
	r.Need(top, f, "server", "cert_file", "key_file")
	if path, ok := r.Path(f["login"]); ok {
		s.login = path
	}
	if f["listen"].Present() {
		s.listen = listen.Read(r.Reader, f["listen"], r.reachable)
	}
	if f["proxies"].Present() {
		s.proxies.Prefixes, s.proxies.Unix = listen.Networks(r.Reader, f["proxies"], "unix")
	}
	r.keysOfHost(f["ssh_host_keys"])
	s.hostKeys = r.s.hostKeys
	s.server, _ = r.URL(f["server"], "https")
	s.caFile, _ = r.Path(f["ca_file"])
	s.cert, _ = r.Path(f["cert_file"])
	s.key, _ = r.Path(f["key_file"])
	s.timeout = r.Duration(f["timeout"], defaultRelayTimeout, 100*time.Millisecond, time.Minute)
	s.metrics = listen.Address(r.Reader, f["metrics"])
}
