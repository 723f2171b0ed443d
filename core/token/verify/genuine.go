package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// genuine is a token whose signature is right, and what follows from its bytes alone. Whether it may be used now, here
// and by whoever sent it is not part of it. But for its place in the cache it does not change, and it is shared.
type genuine struct {
	digest [sha256.Size]byte
	header jose.Header
	token  claims.Token
	from   origin

	profile claims.Profile // "" when its issuer may not use the one it has
	rules   error          // of profile
	kind    error          // this is no access token
	unnamed bool           // it has no kid, and there are several keys that might have signed it

	lists []string // what Audience, Scopes and Groups of token are pieces of, one behind the other
	cost  int      // bytes it takes in the cache
	place place
}

// origin is the set of keys that a signature was checked with: a static one, or one of a source. Two sets never have
// equal origins. The zero value stands for what no key had to do with.
type origin struct {
	keys       any // *jose.KeySet or KeySource
	generation uint64
}

// usable reports whether something that came of it may be remembered.
func (o origin) usable() bool { return o.generation != 0 }

func (v *Verifier) origin(iss *Issuer, url string) origin {
	if iss.Keys != nil {
		return origin{iss.Keys, 1}
	}
	return origin{v.c.Keys, v.c.Keys.Generation(url)}
}

// authenticate does the first five steps of Verify, or finds that they were done.
func (v *Verifier) authenticate(ctx context.Context, token []byte) (*genuine, *Issuer, error) {
	if len(token) > v.c.MaxToken { // before anything has to go through all of it
		return nil, nil, jose.ErrTooLarge
	}
	digest := sha256.Sum256(token)
	if v.c.Cache != nil {
		if g, iss, err := v.remembered(&digest); g != nil || err != nil {
			return g, iss, err
		}
	}
	g, iss, from, err := v.examine(ctx, token)
	if err != nil {
		v.refused.add(&digest, denial{err: err, issuer: iss, from: from}, v.c.Now())
		return nil, nil, err
	}
	g.digest = digest
	if v.c.Cache != nil && from.usable() {
		v.c.Cache.put(g, v.c.Now())
	}
	return g, iss, nil
}

// remembered returns what is known of a token: it is genuine, it is not (an error), or nothing.
func (v *Verifier) remembered(digest *[sha256.Size]byte) (*genuine, *Issuer, error) {
	if g := v.c.Cache.get(digest); g != nil {
		iss, err := v.trusted(g.token.Issuer, g.header.Alg)
		if err != nil {
			return nil, nil, err
		}
		if v.origin(iss, g.token.Issuer) == g.from {
			return g, iss, nil
		}
		return nil, nil, nil
	}
	r, ok := v.refused.get(digest, v.c.Now())
	if ok && (r.issuer == nil || v.origin(r.issuer, r.issuer.URL) == r.from) {
		return nil, nil, r.err
	}
	return nil, nil, nil
}

// examine reads the token and checks its signature. With an error it returns the issuer as far as it got, and the keys.
func (v *Verifier) examine(ctx context.Context, token []byte) (*genuine, *Issuer, origin, error) {
	m, err := jose.ParseLimit(token, v.c.MaxToken)
	if err != nil {
		return nil, nil, origin{}, err
	}
	if len(m.Payload) == 0 {
		return nil, nil, origin{}, jose.ErrShape
	}
	if err := m.Header.AccessTokenType(); err != nil {
		return nil, nil, origin{}, err
	}
	t, err := claims.Parse(m.Payload)
	if err != nil {
		return nil, nil, origin{}, fmt.Errorf("claims: %w", err)
	}
	iss, err := v.trusted(t.Issuer, m.Header.Alg)
	if err != nil {
		return nil, nil, origin{}, err
	}
	// Asked before the keys are: if they change meanwhile, what is remembered belongs to the old ones and never counts.
	from := v.origin(iss, t.Issuer)
	tried, err := v.signature(ctx, iss, m, t.Issuer)
	if err != nil {
		return nil, iss, from, err
	}
	g := newGenuine(m, t, iss, from, tried)
	if v.c.Cache != nil {
		g.share(m.Payload)
	}
	return g, iss, from, nil
}

// trusted finds the issuer. Nothing was fetched so far, and nothing will be for an issuer that is not found.
func (v *Verifier) trusted(issuer string, alg jose.Alg) (*Issuer, error) {
	url := issuer
	if v.c.AnyIssuer {
		url = ""
	}
	iss := v.issuers[url]
	if iss == nil || issuer == "" {
		return nil, ErrUntrustedIssuer
	}
	if len(iss.Algs) > 0 && !slices.ContainsFunc(iss.Algs, alg.Same) {
		return nil, &jose.AlgorithmError{Alg: string(alg)}
	}
	return iss, nil
}

// signature tries the few keys that may have signed, and returns how many there are.
func (v *Verifier) signature(ctx context.Context, iss *Issuer, m *jose.Message, issuer string) (int, error) {
	keys, err := v.candidates(ctx, iss, m.Header, issuer)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err = m.Verify(k); err == nil {
			break
		}
	}
	return len(keys), err
}

func (v *Verifier) candidates(
	ctx context.Context, iss *Issuer, h jose.Header, issuer string,
) ([]*jose.PublicKey, error) {
	if iss.Keys != nil {
		if list := iss.Keys.Candidates(h); len(list) > 0 {
			return list, nil
		}
		return nil, ErrNoKey
	}
	list, err := v.c.Keys.Candidates(ctx, issuer, h)
	if errors.Is(err, provider.ErrUnknownKey) || err == nil && len(list) == 0 {
		return nil, ErrNoKey
	}
	return list, err
}

// newGenuine finds out what the claims say by themselves. tried is how many keys came into question.
func newGenuine(m *jose.Message, t claims.Token, iss *Issuer, from origin, tried int) *genuine {
	g := &genuine{header: m.Header, token: t, from: from}
	// The whole header would stay in memory with the piece of it that kid is.
	g.header.KeyID = strings.Clone(m.Header.KeyID)
	if p, err := g.token.Profile(m.Header.Type, iss.Profiles); err == nil {
		g.profile, g.rules = p, g.token.Check(p, m.Header)
	}
	g.kind, g.unnamed = g.token.Kind(m.Header.Type), !m.Header.HasKeyID && tried > 1
	return g
}

// share makes g ready to be kept, and its claims to be handed to several callers.
func (g *genuine) share(payload []byte) {
	g.lists = slices.Concat(g.token.Audience, g.token.Scopes, g.token.Groups)
	divide(g.lists, &g.token)
	g.cost = g.size(payload)
}

// check applies the rules of p, the profile of the token by the configuration of now.
func (g *genuine) check(p claims.Profile) error {
	if p == g.profile {
		return g.rules
	}
	return g.token.Check(p, g.header)
}

// claims returns the claims for a caller that may do with them as it likes.
func (g *genuine) claims(shared bool) claims.Token {
	t := g.token
	if shared {
		divide(slices.Clone(g.lists), &t)
	}
	return t
}

// divide gives the lists of t their places in all, one behind the other, so that they are one piece of memory and not
// three. What is appended to one of them later does not touch the next.
func divide(all []string, t *claims.Token) {
	next := func(n int) []string {
		part := all[:n:n]
		all = all[n:]
		return part
	}
	if n := len(t.Audience); n > 0 {
		t.Audience = next(n)
	}
	if n := len(t.Scopes); n > 0 {
		t.Scopes = next(n)
	}
	if n := len(t.Groups); n > 0 {
		t.Groups = next(n)
	}
}
