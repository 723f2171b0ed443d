package httpauth

import (
	"fmt"
	"log/slog"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Config is what a service has to say to be protected. Issuers and Audiences are needed.
type Config struct {
	// Issuers are those that are trusted, byte for byte as in iss, a slash at the end included. Their keys are fetched
	// when the first token comes, over https (plain http to this machine alone), and kept.
	Issuers []string
	// Audiences are the names of this service, one of which has to be in aud. A value with which a profile means
	// everybody counts only when it is named here.
	Audiences []string
	// Policy says who may do what, in the YAML of docs/policy.md. nil: whoever has a subject at one of Issuers may do
	// all.
	Policy []byte
	// CAFile has certificates (PEM) to trust in place of the system's. "": the system's.
	CAFile string
	// Getenv is asked for SSL_CERT_FILE and for proxies. nil: there are none.
	Getenv func(string) string
	// Options are those of New.
	Options Options
}

const anybodyIdentified = "version: 1\nrequire: IDENTIFIED\n"

// Open returns the middleware for a service that has no gate yet: it makes one. Nothing is fetched. The error is
// ErrConfig; in it are a policy.Faults where the policy is wrong. Whoever is done calls [Auth.Close].
func Open(c Config) (*Auth, error) {
	if c.Policy == nil {
		c.Policy = []byte(anybodyIdentified)
	}
	rules, err := policy.Parse("policy", c.Policy)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	client, err := httpc.New(httpc.Options{CAFile: c.CAFile, Getenv: c.Getenv})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	config := gate.Config{Audiences: c.Audiences, Policy: rules, MaxToken: c.Options.Ways.MaxToken}
	for _, url := range c.Issuers {
		config.Issuers = append(config.Issuers, gate.Issuer{Issuer: verify.Issuer{URL: url}})
	}
	log := c.Options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g, err := gate.New(config, gate.Options{HTTP: client, Log: log})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	a := New(g, c.Options)
	a.close = func() {
		g.Close()
		client.CloseIdle()
	}
	return a, nil
}

// Close ends what [Open] started. No request may be under way. It does nothing to the gate that [New] was given.
func (a *Auth) Close() {
	if a.close != nil {
		a.close()
	}
}
