package provisioner

import (
	"context"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

// relaySettings are the configuration of a relay.
type relaySettings struct {
	file      string
	login     string
	server    string
	caFile    string
	cert, key string
	timeout   time.Duration
	metrics   string
	notes     []config.Fault
}

const defaultRelayTimeout = 2500 * time.Millisecond

func relayKeys() []string {
	return []string{"version", "login", "server", "ca_file", "cert_file", "key_file", "timeout", "metrics"}
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
	r, s := config.NewReader(name), &relaySettings{file: name, login: defaultLogin}
	if top := r.Document(b); top.Present() {
		f := r.Fields(top, relayKeys()...)
		r.Version(top, f, 1)
		r.Need(top, f, "server", "cert_file", "key_file")
		if path, ok := r.Path(f["login"]); ok {
			s.login = path
		}
		s.server, _ = r.URL(f["server"], "https")
		s.caFile, _ = r.Path(f["ca_file"])
		s.cert, _ = r.Path(f["cert_file"])
		s.key, _ = r.Path(f["key_file"])
		s.timeout = r.Duration(f["timeout"], defaultRelayTimeout, 100*time.Millisecond, time.Minute)
		s.metrics = listen.Address(r, f["metrics"])
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	s.notes = r.Notes()
	return s, nil
}

type relayCmd struct {
	Config string `default:"/etc/oidcbox/relay.yaml" placeholder:"FILE" help:"The configuration of the relay (${default})."`
}

// Run answers the PAM helper of this node until ctx is cancelled.
func (c *relayCmd) Run(ctx context.Context, env *cli.Env) error {
	s, err := readRelaySettings(within(env, c.Config))
	if err != nil {
		return configError(ofRelay, err)
	}
	return runRelay(ctx, env, s)
}
