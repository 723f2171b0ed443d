package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// Gate judges tokens. It does not change and may be used by many goroutines.
type Gate struct {
	policy   *policy.Policy
	verifier *verify.Verifier // is told the audiences with every token
	anybody  *verify.Verifier // takes tokens for whomever; nil mostly
	issuers  []string
	audience audiences

	remote  *remote.Source // nil when no issuer is asked
	opaque  bool           // some issuer has opaque tokens
	askable map[string]askable

	keys    *provider.Keys
	ownKeys bool
	cache   *verify.Cache
	proofs  *dpop.Checker

	observe func(Event)
	now     func() time.Time
	log     *slog.Logger

	maxToken int
}

// New returns a gate, or all that is wrong with c (ErrConfig). Nothing is fetched before the first token.
func New(c Config, o Options) (*Gate, error) {
	g := &Gate{
		policy: c.Policy, observe: o.Observe, now: o.Now, log: o.Log, cache: o.Cache, proofs: o.DPoP,
		maxToken: c.MaxToken, askable: map[string]askable{}, audience: newAudiences(c),
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.maxToken <= 0 {
		g.maxToken = jose.MaxToken
	}
	if err := c.check(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	g.keys = o.Keys
	if g.keys == nil && o.HTTP != nil {
		g.keys, g.ownKeys = provider.NewKeys(o.HTTP, provider.KeysOptions{Now: g.now, Log: g.log}), true
		g.keys.Trust(c.Trusted())
	}
	o.Now, o.Log = g.now, g.log
	if err := g.build(c, o); err != nil {
		g.Close()
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return g, nil
}

// build makes what judges, and collects all that is wrong.
func (g *Gate) build(c Config, o Options) error {
	if g.cache == nil {
		g.cache = verify.NewCache(0)
	}
	var faults []error
	var err error
	if g.proofs == nil {
		if g.proofs, err = dpop.New(dpop.Options{Now: g.now}); err != nil {
			faults = append(faults, err)
		}
	}
	base := verify.Config{AudiencesPerCall: true, Cache: g.cache, DPoP: g.proofs, Now: g.now, MaxToken: c.MaxToken}
	if g.keys != nil {
		base.Keys = g.keys
	}
	for _, iss := range c.Issuers {
		base.Issuers = append(base.Issuers, iss.Issuer)
		g.issuers = append(g.issuers, iss.URL)
		g.askable[iss.URL] = askable{opaque: iss.takesOpaque(), anyAudience: iss.OpaqueAnyAudience}
		g.opaque = g.opaque || iss.takesOpaque()
	}
	slices.Sort(g.issuers)
	if g.verifier, err = verify.New(base); err != nil {
		faults = append(faults, err)
	}
	if c.AcceptAnyAudience {
		base.AcceptAnyAudience = true
		if g.anybody, err = verify.New(base); err != nil {
			faults = append(faults, err)
		}
	}
	if g.remote, err = c.remote(o); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Issuers returns the URLs of those that are trusted, sorted.
func (g *Gate) Issuers() []string { return slices.Clone(g.issuers) }

// Keys returns the cache of key sets, for showing and dropping them and for the gate that comes after this one; nil
// when all keys are static.
func (g *Gate) Keys() *provider.Keys { return g.keys }

// Cache returns the cache of verified tokens, for its numbers and for the gate that comes after this one.
func (g *Gate) Cache() *verify.Cache { return g.cache }

// DPoP returns what checks proofs of possession and remembers them, for the gate that comes after this one.
func (g *Gate) DPoP() *dpop.Checker { return g.proofs }

// Asked returns how issuers were asked about tokens, and how many answers are kept in how many bytes.
func (g *Gate) Asked() (stats []remote.IssuerStats, answers, bytes int) {
	if g.remote == nil {
		return nil, 0, 0
	}
	answers, bytes = g.remote.Memory()
	return g.remote.Stats(), answers, bytes
}

// Close ends what the gate started itself. What was handed in stays open.
func (g *Gate) Close() {
	if g.remote != nil {
		g.remote.Close()
	}
	if g.ownKeys {
		g.keys.Close()
	}
}

// Check says whether a token is believed, for a service ("" where there is one only): everything but the policy. The
// error is a *Refusal.
func (g *Gate) Check(ctx context.Context, p Presented, service string) (Outcome, error) {
	j := judgement{shown: &p, event: Event{Request: policy.Request{Service: service}}, begin: g.now()}
	j.event.Outcome.Service = service
	err := g.authenticate(ctx, &p, &j.event.Outcome)
	return g.answer(&j, err)
}

// Decide says whether a token is believed and its bearer may do what r says. The error is a *Refusal; with status 403
// the Outcome has the identity and the decision.
func (g *Gate) Decide(ctx context.Context, p Presented, r policy.Request) (Outcome, error) {
	return g.DecideAll(ctx, p, []policy.Request{r})
}

// DecideAll is Decide for one request of a client that does several things at once, such as a copy, which reads here
// and writes there: the token and its proof are checked once, and all of rs have to be allowed. They are of one
// service. The decision of the outcome is that about the first that is refused, or about the last. Without any the
// answer is no.
func (g *Gate) DecideAll(ctx context.Context, p Presented, rs []policy.Request) (Outcome, error) {
	j := judgement{shown: &p, begin: g.now()}
	if len(rs) > 0 {
		j.event.Request = rs[0]
	}
	out := &j.event.Outcome
	out.Service = j.event.Request.Service
	err := g.authenticate(ctx, &p, out)
	if err == nil {
		for _, r := range rs {
			j.event.Request = r
			if out.Decision = g.decide(&out.Subject, r); !out.Decision.Allowed {
				break
			}
		}
		if !out.Decision.Allowed {
			err = &DecisionError{out.Decision}
		}
	}
	return g.answer(&j, err)
}

// judgement is a token on its way: what was shown, and what will be told of it.
type judgement struct {
	shown *Presented
	event Event
	begin time.Time
}

// Refused tells the observer of a refusal that was found before the gate was asked, such as a request with two tokens,
// and returns it. Whoever reads requests calls it, so that audit and metrics have every answer.
func (g *Gate) Refused(r policy.Request, refusal *Refusal) *Refusal {
	if g.observe != nil {
		g.observe(Event{Request: r, Outcome: Outcome{Service: r.Service}, Refusal: refusal})
	}
	return refusal
}

func (g *Gate) decide(s *policy.Subject, r policy.Request) policy.Decision {
	if g.policy == nil {
		return policy.Decision{Reason: "there is no policy"}
	}
	return g.policy.Decide(*s, r)
}

// answer turns err into a Refusal and tells the observer.
func (g *Gate) answer(j *judgement, err error) (Outcome, error) {
	e := &j.event
	if err != nil {
		e.Refusal = refuse(err)
	}
	if g.observe != nil {
		e.Scheme, e.Took = j.shown.Scheme, g.now().Sub(j.begin)
		e.TokenID, e.Claimed = tokenID(j.shown, &e.Outcome), g.claimedBy(j.shown, e.Refusal)
		g.observe(*e)
	}
	if e.Refusal != nil {
		return e.Outcome, e.Refusal
	}
	return e.Outcome, nil
}

// tokenID names the token for the log, as secret.Text.ID does, without hashing it again where that was done.
func tokenID(p *Presented, out *Outcome) string {
	switch {
	case p.Token.Empty():
		return ""
	case out.Identity.Digest != [sha256.Size]byte{}:
		return hex.EncodeToString(out.Identity.Digest[:8])
	}
	return p.Token.ID()
}
