package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Pauses after trouble that has nothing to do with one token, and how long the endpoints of an issuer are believed.
const (
	minPause    = time.Second
	maxPause    = 30 * time.Second
	clientPause = 30 * time.Second // after our client was refused: it is locked out where it tries too often
	toPause     = 3                // failures in a row; one alone may be the token's
	maxMetadata = time.Hour
)

// party is one issuer.
type party struct {
	Issuer
	o Options

	mu       sync.Mutex // the fields below
	known    budget     // for tokens that were signed or active before
	stranger budget
	failures int // since the last answer
	resumeAt time.Time
	trouble  error // why nobody is asked before resumeAt
	stats    IssuerStats

	finding chan struct{} // held by whoever looks for the endpoints
	client  *flow.Client
	found   time.Time
}

func newParty(i Issuer, o Options) *party {
	p := &party{Issuer: i, o: o, finding: make(chan struct{}, 1)}
	rate := i.Rate
	if rate == 0 {
		rate = DefaultRate
	}
	p.known, p.stranger = newBudget(rate), newBudget(rate)
	return p
}

// admit takes what a question costs from the budget, or says why it may not be asked now. known says that the token is
// none that anybody could have invented.
func (p *party) admit(now time.Time, known bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.resumeAt.Sub(now); wait > 0 {
		return p.unavailable(wait, p.trouble)
	}
	b := &p.stranger
	if known {
		b = &p.known
	}
	cost := 0.0
	for _, asked := range []bool{p.Introspection, p.Userinfo} {
		if asked {
			cost++
		}
	}
	if wait := b.take(now, cost); wait > 0 {
		p.stats.Limited++
		return p.unavailable(wait, ErrLimited)
	}
	return nil
}

func (p *party) unavailable(wait time.Duration, err error) error {
	return &UnavailableError{Issuer: p.URL, RetryAfter: max(wait, time.Second), Err: err}
}

// ask puts the question: introspection first, so that a token that is not active is shown to nobody else.
func (p *party) ask(ctx context.Context, q question) (Said, error) {
	cl, err := p.endpoints(ctx)
	if err != nil {
		return Said{}, err
	}
	var said Said
	if p.Introspection {
		o, err := cl.Introspect(ctx, q.token)
		if err == nil {
			said, err = p.introspected(o)
		}
		if err = p.judged(p.introspectionError(err)); err != nil {
			return Said{}, err
		}
	}
	if p.Userinfo {
		o, err := cl.Userinfo(ctx, q.token)
		if err == nil {
			err = said.person(p, o)
		}
		if err = p.judged(userinfoError(err)); err != nil {
			return Said{}, err
		}
	}
	said.Expires = p.keepUntil(q, said)
	return said, nil
}

// keepUntil is until when an answer is used.
func (p *party) keepUntil(q question, said Said) time.Time {
	keep := p.Cache
	if keep == 0 {
		keep = DefaultCache
		if q.opaque && !p.Introspection {
			keep = UserinfoCache
		}
	}
	until := p.o.Now().Add(keep)
	if exp := said.Claims.Expiry; !exp.IsZero() && exp.Before(until) {
		until = exp
	}
	return until
}

// endpoints returns a client for the endpoints of the issuer, which are looked for once an hour, by one at a time.
func (p *party) endpoints(ctx context.Context) (*flow.Client, error) {
	select {
	case p.finding <- struct{}{}:
		defer func() { <-p.finding }()
	case <-ctx.Done():
		return nil, p.judged(context.Cause(ctx))
	}
	now := p.o.Now()
	if p.client != nil && now.Sub(p.found).Abs() < maxMetadata {
		return p.client, nil
	}
	if err := p.paused(now); err != nil { // somebody has just looked for them, without success
		return nil, err
	}
	md, err := provider.Discover(ctx, p.o.HTTP, p.URL)
	if err != nil {
		if p.client != nil { // go on with what was good so far
			p.o.Log.Warn("endpoints of the issuer could not be looked up again", "iss", p.URL, "err", err)
			return p.client, nil
		}
		return nil, p.pause(now, err)
	}
	p.client = flow.New(p.o.HTTP, md, flow.ClientConfig{ID: p.ClientID, Secret: p.ClientSecret}, flow.Options{Now: p.o.Now})
	p.found = now
	return p.client, nil
}

func (p *party) paused(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.resumeAt.Sub(now); wait > 0 {
		return p.unavailable(wait, p.trouble)
	}
	return nil
}

// pause lets nobody ask for a while; it is longer each time.
func (p *party) pause(now time.Time, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := min(minPause<<min(p.failures, 8), maxPause)
	p.failures++
	p.resumeAt, p.trouble = now.Add(wait), err
	return p.unavailable(wait, err)
}

// judged counts how the issuer does, and makes what is no answer an *UnavailableError. A refusal is an answer.
func (p *party) judged(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Calls++
	if err == nil || refused(err) {
		p.failures = 0
		return err
	}
	p.stats.Failures++
	now := p.o.Now()
	wait := time.Second
	switch {
	case errors.Is(err, ErrClient):
		wait = clientPause
		p.resumeAt, p.trouble = now.Add(wait), err
	case flow.Temporary(err) || errors.Is(err, context.DeadlineExceeded):
		if p.failures++; p.failures >= toPause {
			wait = min(max(minPause<<min(p.failures-toPause, 8), flow.RetryAfter(err)), maxPause)
			p.resumeAt, p.trouble = now.Add(wait), err
		}
	}
	return p.unavailable(wait, err)
}

// introspectionError tells whose fault a failure is. The endpoint refuses nobody but us: what it thinks of the token is
// in an answer of success (RFC 7662 section 2.2 and 2.3).
func (p *party) introspectionError(err error) error {
	var e *flow.Error
	if errors.As(err, &e) && (denied(e) || flow.UnknownClient(err)) {
		return fmt.Errorf("%w %s: %w", ErrClient, p.ClientID, err)
	}
	return err
}

// userinfoError: here a refusal is about the token (RFC 6750 section 3.1), 403 because it lacks the scope.
func userinfoError(err error) error {
	var e *flow.Error
	if errors.As(err, &e) && (denied(e) || e.Status == http.StatusBadRequest && e.Code == "invalid_token") {
		return fmt.Errorf("%w: userinfo endpoint answered %d", ErrInactive, e.Status)
	}
	return err
}

func denied(e *flow.Error) bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
}

// compact makes o refer to its own text alone, within limits: the body that it came in may have been mostly white space.
func compact(o jose.Object) (jose.Object, error) {
	b, err := o.MarshalJSON()
	if err != nil {
		return jose.Object{}, err
	}
	if len(b) > MaxAnswer {
		return jose.Object{}, fmt.Errorf("%w: more than %d bytes", httpc.ErrTooLarge, MaxAnswer)
	}
	return jose.StrictObject(b, jose.PayloadDepth, jose.PayloadMembers)
}

// IssuerStats are counted since the source was made.
type IssuerStats struct {
	Issuer   string
	Calls    uint64    // requests to introspection and userinfo endpoints
	Failures uint64    // of them those that brought no answer
	Limited  uint64    // questions that were not asked because there were too many
	Paused   time.Time // it is not asked before
	Trouble  error     // why
}

// Stats returns the counts of all issuers in the order of the configuration.
func (s *Source) Stats() []IssuerStats {
	all := make([]IssuerStats, 0, len(s.list))
	for _, p := range s.list {
		p.mu.Lock()
		st := p.stats
		st.Issuer = p.URL
		if p.resumeAt.After(p.o.Now()) {
			st.Paused, st.Trouble = p.resumeAt, p.trouble
		}
		p.mu.Unlock()
		all = append(all, st)
	}
	return all
}

// Memory returns how many answers are kept and about how many bytes they take.
func (s *Source) Memory() (answers, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.yes.order.Len(), s.yes.used
}
