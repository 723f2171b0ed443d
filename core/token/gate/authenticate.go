package gate

import (
	"context"
	"crypto/sha256"
	"slices"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// askable is what an issuer's opaque tokens may be.
type askable struct{ opaque, anyAudience bool }

// audiences are our names, by service.
type audiences struct {
	own     map[string][]string
	all     []string
	anybody bool
}

func newAudiences(c Config) audiences {
	a := audiences{own: map[string][]string{}, all: c.Audiences, anybody: c.AcceptAnyAudience}
	for name, s := range c.Services {
		if s.Audiences != nil {
			a.own[name] = s.Audiences
		}
	}
	return a
}

// of returns the names of a service, and whether tokens for anybody are taken there.
func (a audiences) of(service string) (names []string, anybody bool) {
	if own, there := a.own[service]; there {
		return own, false
	}
	return a.all, a.anybody
}

// authenticate believes the token and says in out, which names the service, whose it is; or it says why not.
func (g *Gate) authenticate(ctx context.Context, p *Presented, out *Outcome) error {
	if p.Token.Empty() {
		return ErrNoToken
	}
	err := p.Token.Use(func(token []byte) error {
		err := g.signed(ctx, p, token, out)
		if err != nil && g.opaque && remote.IsOpaque(token) {
			return g.unsigned(ctx, p, token, out)
		}
		return err
	})
	if err != nil {
		*out = Outcome{Service: out.Service}
	}
	return err
}

// signed is for a JWT: its signature and claims, then what its issuer says of it where it is to be asked.
func (g *Gate) signed(ctx context.Context, p *Presented, token []byte, out *Outcome) error {
	names, anybody := g.audience.of(out.Service)
	v := g.verifier
	if anybody {
		v = g.anybody
	}
	id, err := v.VerifyFor(ctx, token, verify.Check{Audiences: names, Proof: p.proof()})
	if err != nil {
		return err
	}
	out.Identity, out.Expires = id, id.Claims.Expiry
	out.Subject = policy.Subject{Issuer: id.Issuer, Subject: id.Subject, Profile: id.Profile, Claims: id.Claims}
	if g.remote == nil {
		return nil
	}
	said, err := g.remote.Ask(ctx, id.Issuer, token, &id.Claims)
	if err != nil {
		return err
	}
	out.Subject.Introspection, out.Subject.Userinfo = said.Introspection, said.Userinfo
	return nil
}

// unsigned is for a token that only its issuer understands. The issuer is believed about whose it is, how long it lives
// and for whom it is; there is no claim that somebody signed.
func (g *Gate) unsigned(ctx context.Context, p *Presented, token []byte, out *Outcome) error {
	issuer, said, err := g.remote.Opaque(ctx, token, p.Issuer)
	if err != nil {
		return err
	}
	if err := g.forUs(issuer, out.Service, said.Claims.Audience); err != nil {
		return err
	}
	digest := sha256.Sum256(token)
	bound, err := g.verifier.Possession(digest, &said.Claims, p.proof())
	if err != nil {
		return err
	}
	out.Opaque, out.Expires = true, said.Claims.Expiry
	out.Identity = verify.Identity{
		Issuer: issuer, Subject: said.Claims.Subject, Profile: claims.Generic, Claims: said.Claims,
		Bound: bound, Digest: digest,
	}
	out.Subject = policy.Subject{
		Issuer: issuer, Subject: said.Claims.Subject, Profile: claims.Generic,
		Introspection: said.Introspection, Userinfo: said.Userinfo,
	}
	return nil
}

// forUs judges the audience that the issuer named for an opaque token.
func (g *Gate) forUs(issuer, service string, got []string) error {
	names, anybody := g.audience.of(service)
	switch {
	case len(got) == 0 && g.askable[issuer].anyAudience, anybody:
		return nil
	case slices.ContainsFunc(names, func(n string) bool { return slices.Contains(got, n) && !meansAll(n) }):
		return nil
	}
	return &verify.AudienceError{Want: names, Got: got}
}

// meansAll reports whether an audience is the word of a profile for everybody; an opaque token is of no profile.
func meansAll(name string) bool { return name == claims.AnyWLCG || name == claims.AnySciTokens }

func (p *Presented) proof() verify.Proof {
	return verify.Proof{
		Scheme: verify.Scheme(p.Scheme), DPoP: p.DPoP, Method: p.Method, URL: p.URL, Certificate: p.Certificate,
	}
}
