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

// Pauses after trouble that is not about one token, and how long the endpoints of an issuer are believed.
const (
	minPause    = time.Second
	maxPause    = 30 * time.Second
	toPause     = 3                // failures in a row; one alone may be the token's
	clientPause = 30 * time.Second // after our client was refused: some servers lock out one that goes on trying
	maxMetadata = time.Hour
)

// party is one issuer.
type party struct {
	Issuer
	o Options

	mu       sync.Mutex // the fields below
	known    lane       // for tokens that nobody can have invented: signed, or active before
	stranger lane
	stats    IssuerStats

	finding chan struct{} // held by whoever looks for the endpoints
	client  *flow.Client
	found   time.Time
}

// lane is what the questions about one kind of tokens may cost, and how they fared. The kinds have one each, so that
// nobody can use up or block with invented tokens what the others need.
type lane struct {
	budget
	failures int       // since the last answer
	resumeAt time.Time // nothing is asked before
	trouble  error     // why
	waiting  int       // requests
}

// pause lets nobody ask for a while.
func (l *lane) pause(now time.Time, wait time.Duration, err error) {
	l.resumeAt, l.trouble = now.Add(wait), err
}

func newParty(i Issuer, o Options) *party {
	rate := i.Rate
	if rate == 0 {
		rate = DefaultRate
	}
	return &party{
		Issuer: i, o: o, finding: make(chan struct{}, 1),
		known: lane{budget: newBudget(rate)}, stranger: lane{budget: newBudget(rate)},
	}
}

func (p *party) lane(known bool) *lane {
	if known {
		return &p.known
	}
	return &p.stranger
}

// admit takes what a question costs from the budget, or says why it may not be asked now. known says that the token is
// none that anybody could have invented.
func (p *party) admit(now time.Time, known bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lane(known)
	if wait := l.resumeAt.Sub(now); wait > 0 {
		return p.unavailable(wait, l.trouble)
	}
	cost := 0.0
	for _, asked := range []bool{p.Introspection, p.Userinfo} {
		if asked {
			cost++
		}
	}
	if wait := l.take(now, cost); wait > 0 {
		p.stats.Limited++
		return p.unavailable(wait, ErrLimited)
	}
	return nil
}

func (p *party) unavailable(wait time.Duration, err error) error {
	return &UnavailableError{Issuer: p.URL, RetryAfter: max(wait, time.Second), Err: err}
}

// ask puts the question: introspection first, so that a token that is not active is shown to nobody else.
//
// Introspection says active of refresh tokens, too, and some servers do not say which of the two a token is. What the
// userinfo endpoint takes is an access token.
func (p *party) ask(ctx context.Context, q question) (Said, error) {
	asked := p.o.Now()
	cl, err := p.endpoints(ctx, q)
	if err != nil {
		return Said{}, err
	}
	var said Said
	if p.Introspection {
		o, err := cl.Introspect(ctx, q.token)
		if err == nil {
			said, err = p.introspected(o)
		}
		if err = p.judged(q, p.introspectionError(err)); err != nil {
			return Said{}, err
		}
	}
	if p.Userinfo {
		o, err := cl.Userinfo(ctx, q.token)
		if err == nil {
			err = said.person(p, o)
		}
		if err = p.judged(q, userinfoError(err)); err != nil {
			return Said{}, err
		}
	}
	if q.opaque && !said.named && !p.Userinfo {
		return Said{}, fmt.Errorf("%w: it does not say what kind of token this is (token_type), and userinfo is not asked",
			ErrKind)
	}
	said.Expires = p.keepUntil(asked, q, said)
	return said, nil
}

// keepUntil is until when an answer is used. It counts from the question: the answer may have been long on its way.
func (p *party) keepUntil(asked time.Time, q question, said Said) time.Time {
	keep := p.Cache
	if keep == 0 {
		keep = DefaultCache
		if q.opaque && !p.Introspection {
			keep = UserinfoCache
		}
	}
	until := asked.Add(keep)
	if exp := said.Claims.Expiry; !exp.IsZero() && exp.Before(until) {
		until = exp
	}
	return until
}

// endpoints returns a client for the endpoints of the issuer, which are looked for once an hour, by one at a time.
func (p *party) endpoints(ctx context.Context, q question) (*flow.Client, error) {
	select {
	case p.finding <- struct{}{}:
		defer func() { <-p.finding }()
	case <-ctx.Done():
		return nil, p.unavailable(minPause, context.Cause(ctx))
	}
	now := p.o.Now()
	if p.client != nil && now.Sub(p.found).Abs() < maxMetadata {
		return p.client, nil
	}
	if err := p.paused(now, q); err != nil { // somebody has just looked for them, without success
		return nil, err
	}
	md, err := provider.Discover(ctx, p.o.HTTP, p.URL)
	switch {
	case err == nil:
		cc := flow.ClientConfig{ID: p.ClientID, Secret: p.ClientSecret}
		p.client = flow.New(p.o.HTTP, md, cc, flow.Options{Now: p.o.Now})
	case p.client == nil:
		return nil, p.notFound(err)
	default:
		p.o.Log.Warn("endpoints could not be looked up again; going on with the old ones", "iss", p.URL, "err", err)
	}
	p.found = now
	return p.client, nil
}

func (p *party) paused(now time.Time, q question) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lane(q.known); l.resumeAt.After(now) {
		return p.unavailable(l.resumeAt.Sub(now), l.trouble)
	}
	return nil
}

// notFound pauses everything after a failed discovery, longer each time: that has to do with no token at all.
func (p *party) notFound(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	wait := pauseAfter(max(p.known.failures, p.stranger.failures))
	for _, l := range []*lane{&p.known, &p.stranger} {
		l.failures++
		l.pause(now, wait, err)
	}
	return p.unavailable(wait, err)
}

func pauseAfter(failures int) time.Duration { return min(minPause<<min(failures, 8), maxPause) }

// judged counts how the issuer does, and makes what is no answer an *UnavailableError. A refusal is an answer.
//
// Only what looks like trouble of the whole issuer pauses: a status that one token may bring about, as 500 or the 403
// of a firewall that did not like it, does not.
func (p *party) judged(q question, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lane(q.known)
	p.stats.Calls++
	if err == nil || refused(err) {
		l.failures = 0
		return err
	}
	p.stats.Failures++
	wait := time.Second
	switch asked := min(flow.RetryAfter(err), maxPause); {
	case errors.Is(err, ErrClient):
		wait = clientPause
		l.pause(p.o.Now(), wait, err)
	case !down(err):
	case asked > 0:
		wait = asked
		l.pause(p.o.Now(), wait, err)
	default:
		if l.failures++; l.failures >= toPause {
			wait = pauseAfter(l.failures - toPause)
			l.pause(p.o.Now(), wait, err)
		}
	}
	return p.unavailable(wait, err)
}

// down reports whether the issuer, or the way to it, has trouble.
func down(err error) bool {
	var e *flow.Error
	if !errors.As(err, &e) {
		return flow.Temporary(err) || errors.Is(err, context.DeadlineExceeded)
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// introspectionError tells whose fault a failure is. The endpoint refuses nobody but us: what it thinks of the token is
// in an answer of success (RFC 7662 section 2.2 and 2.3).
func (p *party) introspectionError(err error) error {
	var e *flow.Error
	if errors.As(err, &e) && (e.Status == http.StatusUnauthorized || flow.UnknownClient(err)) {
		return fmt.Errorf("%w %s: %w", ErrClient, p.ClientID, err)
	}
	return err
}

// userinfoError: here a refusal is about the token (RFC 6750 section 3.1), 403 because it lacks the scope.
func userinfoError(err error) error {
	var e *flow.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden,
		e.Status == http.StatusBadRequest && e.Code == "invalid_token":
		return fmt.Errorf("%w: userinfo endpoint answered %d", ErrInactive, e.Status)
	}
	return err
}

// compact makes o refer to its own text alone, within limits: the body that it came in may have been mostly white
// space.
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
