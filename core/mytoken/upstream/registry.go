package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Times of discovery.
const (
	DefaultMinRetry = 5 * time.Second
	DefaultMaxRetry = 5 * time.Minute
	DefaultRenew    = 6 * time.Hour

	// conns is how many requests to one provider may be under way: people who log in wait for nobody else's.
	conns       = 256
	httpTimeout = 20 * time.Second
	maxAnswer   = 1 << 20
)

// Options of a Registry. RedirectURI is needed, the others may be zero.
type Options struct {
	// RedirectURI is where providers send the browser back to.
	RedirectURI string
	// HTTP is for requests to providers. Timeout, MaxBody and Conns have defaults of their own here.
	HTTP httpc.Options
	Now  func() time.Time
	Log  *slog.Logger
	// MinRetry and MaxRetry bound the pause after a discovery that failed; it doubles in between. Renew is how old the
	// endpoints of a provider may become. Zero values are the defaults.
	MinRetry, MaxRetry, Renew time.Duration
	// Guest is a provider without people inside the server; nil: there is none.
	Guest *Guest
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		at *time.Duration
		to time.Duration
	}{
		{&o.MinRetry, DefaultMinRetry}, {&o.MaxRetry, DefaultMaxRetry}, {&o.Renew, DefaultRenew},
		{&o.HTTP.Timeout, httpTimeout},
	} {
		if *d.at <= 0 {
			*d.at = d.to
		}
	}
	o.MaxRetry = max(o.MaxRetry, o.MinRetry)
	if o.HTTP.MaxBody == 0 {
		o.HTTP.MaxBody = maxAnswer
	}
	if o.HTTP.Conns == 0 {
		o.HTTP.Conns = conns
	}
	return o
}

// Registry has the providers of a server. Its methods are safe for concurrent use. Close it at the end.
type Registry struct {
	all   []*Provider
	stop  context.CancelFunc
	tasks sync.WaitGroup
}

// New returns the providers of configs, in their order, and begins to look for their endpoints in the background. It
// waits for none of them. The error has every fault of configs; each wraps ErrConfig.
func New(configs []Config, o Options) (*Registry, error) {
	o = o.withDefaults()
	r := &Registry{}
	var faults []error
	for i, c := range configs {
		if err := c.Check(); err != nil {
			faults = append(faults, err)
			continue
		}
		for _, other := range configs[:i] {
			if sameIssuer(c.Issuer, other.Issuer) || c.Name != "" && c.Name == other.Name {
				faults = append(faults, fmt.Errorf("%w %s: it is there twice", ErrConfig, c.label()))
			}
		}
		p, err := newProvider(c, o)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w %s: %w", ErrConfig, c.label(), err))
			continue
		}
		r.all = append(r.all, p)
	}
	if o.Guest != nil {
		if err := o.Guest.Check(); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		for _, p := range r.all {
			p.close()
		}
		return nil, errors.Join(faults...)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	for _, p := range r.all {
		r.tasks.Go(func() { p.keepFound(ctx) })
		r.tasks.Go(func() { p.keys.Run(ctx) })
	}
	if o.Guest != nil {
		r.all = append(r.all, o.Guest.provider(o))
	}
	return r, nil
}

// Close ends the search for endpoints and waits for what is under way.
func (r *Registry) Close() {
	r.stop()
	r.tasks.Wait()
	for _, p := range r.all {
		p.close()
	}
}

// ByIssuer returns the provider of an issuer, with or without the slash at the end. ErrUnknown.
func (r *Registry) ByIssuer(issuer string) (*Provider, error) {
	for _, p := range r.all {
		if sameIssuer(p.conf.Issuer, issuer) {
			return p, nil
		}
	}
	return nil, ErrUnknown
}

// sameIssuer compares without regard to one slash at the end.
func sameIssuer(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// Info is what can be said of a provider to everybody.
type Info struct {
	Issuer string
	Name   string
	// Scopes that a login can ask for: those configured, else those that the provider's document has.
	Scopes []string
	// Ready says that people can log in. Reason says why not (printable), Next when the provider is asked again.
	Ready  bool
	Reason string
	Since  time.Time // of the state
	Next   time.Time
	Guest  bool
}

// List returns all providers, in the order of the configuration.
func (r *Registry) List() []Info {
	list := make([]Info, 0, len(r.all))
	for _, p := range r.all {
		list = append(list, p.Info())
	}
	return list
}

// Degraded returns the providers that are not available, nil when all are.
func (r *Registry) Degraded() []Info {
	return slices.DeleteFunc(r.List(), func(i Info) bool { return i.Ready })
}

// Settled waits until every provider was looked for once, or ctx ends: for a check of a configuration.
func (r *Registry) Settled(ctx context.Context) error {
	for _, p := range r.all {
		select {
		case <-p.tried:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// keepFound looks for the endpoints of a provider, again and again: soon after a failure, seldom after a success.
func (p *Provider) keepFound(ctx context.Context) {
	pause := p.o.MinRetry
	for {
		err := p.discover(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := p.o.Renew
		if err == nil {
			pause = p.o.MinRetry
		} else {
			wait, pause = pause, min(2*pause, p.o.MaxRetry)
		}
		p.settle(ctx, err, p.o.Now().Add(wait))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
