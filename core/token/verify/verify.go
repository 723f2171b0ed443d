package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Identity is who a token speaks for, once it was believed. A person is Issuer and Subject together, never one alone.
type Identity struct {
	Issuer  string
	Subject string // may be "" for a SciToken
	Profile claims.Profile
	Claims  claims.Token
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
// The errors are those of this package, of jose and of claims. When Temporary(err) holds, the token was not judged.
// Identity refers to no byte of token.
func (v *Verifier) Verify(ctx context.Context, token []byte) (Identity, error) {
	m, err := jose.ParseLimit(token, v.c.MaxToken)
	if err != nil {
		return Identity{}, err
	}
	if len(m.Payload) == 0 {
		return Identity{}, jose.ErrShape
	}
	if err := m.Header.AccessTokenType(); err != nil {
		return Identity{}, err
	}
	t, err := claims.Parse(m.Payload)
	if err != nil {
		return Identity{}, fmt.Errorf("claims: %w", err)
	}
	iss, err := v.trusted(&t, m.Header.Alg)
	if err != nil {
		return Identity{}, err
	}
	tried, err := v.signature(ctx, iss, m, t.Issuer)
	if err != nil {
		return Identity{}, err
	}
	profile, err := v.judge(iss, m.Header, &t)
	if err != nil {
		return Identity{}, err
	}
	if profile == claims.SciTokens && !m.Header.HasKeyID && tried > 1 { // kid may be left out when there is one key
		return Identity{}, claims.ErrNoKeyID
	}
	return Identity{Issuer: t.Issuer, Subject: t.Subject, Profile: profile, Claims: t}, nil
}

// trusted finds the issuer. Nothing was fetched so far, and nothing will be for an issuer that is not found.
func (v *Verifier) trusted(t *claims.Token, alg jose.Alg) (*Issuer, error) {
	url := t.Issuer
	if v.c.AnyIssuer {
		url = ""
	}
	iss := v.issuers[url]
	if iss == nil || t.Issuer == "" {
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

// judge makes the checks that come after the signature.
func (v *Verifier) judge(iss *Issuer, h jose.Header, t *claims.Token) (claims.Profile, error) {
	profile, profileErr := t.Profile(h.Type, iss.Profiles)
	if err := checkTimes(t, v.c.Now(), limitsFor(iss, profile)); err != nil {
		return "", err
	}
	if profileErr != nil {
		return "", profileErr
	}
	if err := t.Check(profile, h); err != nil {
		return "", err
	}
	if err := v.checkAudience(t, profile); err != nil {
		return "", err
	}
	if err := t.Kind(h.Type); err != nil {
		return "", err
	}
	return profile, t.SenderConstraint()
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

func (v *Verifier) checkAudience(t *claims.Token, p claims.Profile) error {
	if len(t.Audience) == 0 && t.AudienceOptional(p) && !t.All.Has("aud") {
		return nil
	}
	if len(t.Audience) > 0 && v.c.AcceptAnyAudience {
		return nil
	}
	for _, ours := range v.c.Audiences {
		meansAll := ours == claims.AnyWLCG || ours == claims.AnySciTokens
		if slices.Contains(t.Audience, ours) && (!meansAll || t.MeantForAll(p)) {
			return nil
		}
	}
	return &AudienceError{Want: v.c.Audiences, Got: t.Audience}
}
