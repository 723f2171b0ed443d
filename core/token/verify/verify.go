package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Identity is who a token speaks for, once it was believed. A person is Issuer and Subject together, never one alone.
type Identity struct {
	Issuer  string
	Subject string // may be "" for a SciToken
	Profile claims.Profile
	Claims  claims.Token

	// KeyID is kid of the header, "" when there is none.
	KeyID string
	// Bound is what the token is bound to, and what this request has proven to hold; zero for a plain bearer token.
	Bound claims.Confirmation
	// Digest is the SHA-256 of the token: its name in logs (a few bytes of it) and in caches.
	Digest [sha256.Size]byte
}

// Check is what one request asks of a token.
type Check struct {
	// Audiences are what the service is called; nil: those of Config.
	Audiences []string
	Proof     Proof
}

// Verify checks an access token, given as it stood behind "Bearer ". The checks and their order:
//
//  1. size, characters (RFC 6750 section 2.1), compact form, canonical base64url
//  2. header: strict JSON, algorithm on the allow-list, no crit, b64 or cty, typ absent or jwt or at+jwt
//  3. payload: strict JSON, types of the claims we know
//  4. iss trusted, algorithm allowed for it
//  5. key by kid, use, key_ops, alg, type and curve; then the signature
//  6. exp, nbf, iat and lifetime
//  7. profile and what it requires, audience, kind of token, sender constraint
//
// With a Cache the outcome of 1 to 5 is remembered for as long as the keys of the issuer stay; 6 and 7 are made for
// every request, and so is 4.
//
// The errors are those of this package, of jose and of claims. When Temporary(err) holds, the token was not judged.
// Identity refers to no byte of token.
func (v *Verifier) Verify(ctx context.Context, token []byte) (Identity, error) {
	return v.VerifyFor(ctx, token, Check{})
}

// VerifyWith is Verify with what the request proves beside the token: a bound token is believed only with its proof,
// and a token that is not bound only as a plain bearer token. Errors of the proof are those of dpop, ErrUnbound,
// ErrScheme and ErrCertificate.
func (v *Verifier) VerifyWith(ctx context.Context, token []byte, p Proof) (Identity, error) {
	return v.VerifyFor(ctx, token, Check{Proof: p})
}

// VerifyFor is VerifyWith for a service that has own names. Everything in c is checked for this request, whatever was
// remembered of the token.
func (v *Verifier) VerifyFor(ctx context.Context, token []byte, c Check) (Identity, error) {
	g, iss, err := v.authenticate(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	profile, err := v.judge(g, iss, c)
	if err != nil {
		return Identity{}, err
	}
	bound, err := v.Possession(g.digest, &g.token, c.Proof)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Issuer: g.token.Issuer, Subject: g.token.Subject, Profile: profile, Claims: g.claims(v.c.Cache != nil),
		KeyID: g.header.KeyID, Bound: bound, Digest: g.digest,
	}, nil
}

// judge makes the checks that come after the signature. What follows from the claims alone was found out when they were
// read; it is looked at in its place.
func (v *Verifier) judge(g *genuine, iss *Issuer, c Check) (claims.Profile, error) {
	t := &g.token
	profile, profileErr := t.Profile(g.header.Type, iss.Profiles)
	if err := checkTimes(t, v.c.Now(), limitsFor(iss, profile)); err != nil {
		return "", err
	}
	if profileErr != nil {
		return "", profileErr
	}
	if err := g.check(profile); err != nil {
		return "", err
	}
	if err := v.checkAudience(t, profile, c.Audiences); err != nil {
		return "", err
	}
	if g.kind == nil && g.unnamed && profile == claims.SciTokens { // which may leave kid out when there is one key
		return "", claims.ErrNoKeyID
	}
	return profile, g.kind
}

// timeLimits are the allowances for one issuer and profile; lifetime 0 means none.
type timeLimits struct{ skew, lifetime time.Duration }

func limitsFor(iss *Issuer, p claims.Profile) timeLimits {
	l := timeLimits{skew: DefaultSkew, lifetime: max(iss.MaxLifetime, 0)}
	if p == claims.WLCG {
		l.skew = 0
		if iss.MaxLifetime == 0 {
			l.lifetime = WLCGLifetime
		}
	}
	if iss.Skew != nil {
		l.skew = *iss.Skew
	}
	return l
}

// checkTimes judges exp, nbf, iat and the lifetime against now (RFC 7519 sections 4.1.4 to 4.1.6). A token is expired
// from exp on. Whether iat has to be there is the profile's matter.
func checkTimes(t *claims.Token, now time.Time, l timeLimits) error {
	switch {
	case t.Expiry.IsZero():
		return &claims.MissingError{Claim: "exp"}
	case t.Expiry.Unix() <= 0:
		return fmt.Errorf("%w: exp is 0", ErrTimes)
	case !now.Before(t.Expiry.Add(l.skew)):
		return &TimeError{ErrExpired, now.Sub(t.Expiry)}
	case t.NotBefore.After(now.Add(Ahead)):
		return &TimeError{ErrNotYet, t.NotBefore.Sub(now)}
	case !t.NotBefore.IsZero() && !t.NotBefore.Before(t.Expiry):
		return fmt.Errorf("%w: nbf is not before exp", ErrTimes)
	case t.IssuedAt.After(now.Add(Ahead)):
		return &TimeError{ErrIssuedAhead, t.IssuedAt.Sub(now)}
	case t.IssuedAt.After(t.Expiry):
		return fmt.Errorf("%w: iat is after exp", ErrTimes)
	}
	if l.lifetime > 0 {
		return checkLifetime(t, now, l.lifetime)
	}
	return nil
}

func checkLifetime(t *claims.Token, now time.Time, limit time.Duration) error {
	begin := t.IssuedAt
	if begin.IsZero() {
		begin = t.NotBefore
	}
	// The times lie between 1970 and 9999, which a Duration cannot span: whole seconds cannot overflow.
	if !begin.IsZero() && t.Expiry.Unix()-begin.Unix() > int64(limit/time.Second) {
		return ErrLifetime
	}
	// iat may lie Ahead of our clock, and exp with it.
	if t.Expiry.After(now.Add(limit + Ahead)) {
		return ErrLifetime
	}
	return nil
}

func (v *Verifier) checkAudience(t *claims.Token, p claims.Profile, audiences []string) error {
	if audiences == nil && !v.c.AudiencesPerCall {
		audiences = v.c.Audiences
	}
	if len(t.Audience) == 0 && !t.All.Has("aud") && t.AudienceOptional(p) && !v.nobody(audiences) {
		return nil
	}
	if len(t.Audience) > 0 && v.c.AcceptAnyAudience {
		return nil
	}
	for _, ours := range audiences {
		meansAll := ours == claims.AnyWLCG || ours == claims.AnySciTokens
		if ours != "" && slices.Contains(t.Audience, ours) && (!meansAll || t.MeantForAll(p)) {
			return nil
		}
	}
	return &AudienceError{Want: audiences, Got: slices.Clone(t.Audience)}
}

// nobody reports whether the service has no name: then no token is for it, not even one that names nobody.
func (v *Verifier) nobody(audiences []string) bool {
	return len(audiences) == 0 && !v.c.AcceptAnyAudience
}
