package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
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

// Options of a Registry. All may be zero.
type Options struct {
	// HTTP is for requests to providers. Timeout, MaxBody and Conns have defaults of their own here.
	HTTP httpc.Options
	Now  func() time.Time
	Log  *slog.Logger
	// MinRetry and MaxRetry bound the pause after a discovery that failed; it doubles in between. Renew is how old the
	// endpoints of a provider may become. Zero values are the defaults.
	MinRetry, MaxRetry, Renew time.Duration
	// Before is the registry that this one comes in the place of: what it knows of providers that stay is known at once.
	Before *Registry
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
		{&o.MinRetry, DefaultMinRetry},
		{&o.MaxRetry, DefaultMaxRetry},
		{&o.Renew, DefaultRenew},
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
			if mytoken.SameIssuer(c.Issuer, other.Issuer) || c.Name != "" && c.Name == other.Name {
				faults = append(faults, fmt.Errorf("%w %s: it is there twice", ErrConfig, c.label()))
			}
		}
		p, err := newProvider(c, o)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w %s: %w", ErrConfig, c.label(), err))
			continue
		}
		if o.Before != nil {
			p.inherit(o.Before)
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

// Provider returns the provider of an issuer, with or without the slash at the end: a Registry is a desk.Upstream.
func (r *Registry) Provider(issuer string) (desk.Provider, bool) {
	for _, p := range r.all {
		if mytoken.SameIssuer(p.conf.Issuer, issuer) {
			return p, true
		}
	}
	return nil, false
}

// Providers returns what is known of all providers, in the order of the configuration.
func (r *Registry) Providers() []desk.ProviderInfo {
	list := make([]desk.ProviderInfo, 0, len(r.all))
	for _, p := range r.all {
		list = append(list, p.Info())
	}
	return list
}

// Status returns how all providers are, in the order of the configuration.
func (r *Registry) Status() []Status {
	list := make([]Status, 0, len(r.all))
	for _, p := range r.all {
		list = append(list, p.Status())
	}
	return list
}

// Degraded returns the providers at which nobody can log in now, nil when there is none.
func (r *Registry) Degraded() []Status {
	return slices.DeleteFunc(r.Status(), func(s Status) bool { return s.Ready })
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
