package issuer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/oidcbox/oidcbox/core/cli"
)

// readTLS returns how connections are secured: nil for plain http, which browsers and clients take on loopback.
func (c *Cmd) readTLS(env *cli.Env) (*tls.Config, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return nil, nil
	case c.TLSCert == "" || c.TLSKey == "":
		return nil, cli.Fail(cli.Usage, errors.New("--tls-cert and --tls-key go together"), "")
	}
	pair, err := tls.LoadX509KeyPair(inDir(env, c.TLSCert), inDir(env, c.TLSKey))
	if err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("read --tls-cert and --tls-key: %w", err), "both are PEM files")
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// defaultURL is the issuer of --listen. A certificate names localhost more often than an address.
func defaultURL(addr net.Addr, secured *tls.Config) string {
	if secured == nil {
		return "http://" + addr.String()
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "https://" + addr.String()
	}
	return "https://" + net.JoinHostPort("localhost", port)
}
