package verify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Allowances for clocks, and the longest life of a WLCG token.
const (
	// Ahead is how far nbf and iat may lie in the future.
	Ahead = 60 * time.Second
	// DefaultSkew is how long after exp a token is still taken, for profiles other than WLCG, which gives no grace.
	DefaultSkew = 60 * time.Second
	// MaxSkew bounds what can be configured.
	MaxSkew = 10 * time.Minute
	// WLCGLifetime is the longest life the WLCG profile gives an access token.
	WLCGLifetime = 6 * time.Hour
)

// KeySource finds the keys of an issuer. *provider.Keys is one. Its type has to be comparable (a pointer is), because a
// cached verdict belongs to the source whose keys gave it.
type KeySource interface {
	Candidates(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error)
	// Generation names the set from which Candidates would choose now; another set has another number, always. It is 0
	// when there is none at hand, and then nothing that was verified before counts. It does not block.
	Generation(issuer string) uint64
}

// Issuer is one that is trusted, and within which limits.
type Issuer struct {
	URL  string       // compared byte for byte with iss
	Keys *jose.KeySet // static; nil means that Config.Keys is asked

	Profiles []claims.Profile // nil: all
	Algs     []jose.Alg       // nil: the whole allow-list
	// Skew is how long after exp a token is still taken; nil: 0 for WLCG, a minute otherwise.
	Skew *time.Duration
	// MaxLifetime of a token; 0: 6 hours for WLCG, no limit otherwise; negative: no limit.
	MaxLifetime time.Duration
}

// Config says whom to believe.
type Config struct {
	Issuers []Issuer
	// AnyIssuer takes every iss. It is allowed only with exactly one Issuer that has static keys and no URL: the keys
	// that somebody named by hand then are the trust.
	AnyIssuer bool
	// Audiences are our own names; a token has to be for one of them. The value with which a profile means everybody
	// (claims.AnyWLCG, claims.AnySciTokens) counts only when it is named here, and only in tokens of that profile.
	Audiences []string
	// AcceptAnyAudience takes tokens for whomever. It is no default: a service that does so can be attacked with tokens
	// its users gave to others.
	AcceptAnyAudience bool
	// AudiencesPerCall says that every Check names its own audiences. Audiences may be empty then, and a Check without
	// any is refused.
	AudiencesPerCall bool
	Keys             KeySource // for issuers without static keys
	// Cache keeps what was verified; nil: nothing is kept. Several verifiers may share one, one after the other too: a
	// token counts only for the keys it was verified with, and only where its issuer is still trusted.
	Cache *Cache
	// DPoP checks proofs of possession. It remembers them, so a verifier that takes the place of another is given the same
	// one; nil: an own one.
	DPoP     *dpop.Checker
	Now      func() time.Time
	MaxToken int // bytes; 0: jose.MaxToken
}

// Verifier checks tokens. It may be used by many goroutines.
type Verifier struct {
	c       Config
	issuers map[string]*Issuer
	refused *denials // nil without a cache
}

// New returns a verifier, or all that is wrong with c (ErrConfig). An empty configuration trusts nobody and is refused.
func New(c Config) (*Verifier, error) {
	v := &Verifier{c: c, issuers: map[string]*Issuer{}}
	faults := v.complete()
	if len(c.Audiences) == 0 && !c.AcceptAnyAudience && !c.AudiencesPerCall {
		faults = append(faults, errors.New("no audience is configured"))
	}
	if slices.Contains(c.Audiences, "") {
		faults = append(faults, errors.New("an audience is empty"))
	}
	if len(c.Issuers) == 0 {
		faults = append(faults, errors.New("no issuer is trusted"))
	}
	if c.AnyIssuer && (len(c.Issuers) != 1 || c.Issuers[0].URL != "" || c.Issuers[0].Keys == nil) {
		faults = append(faults, errors.New("any issuer is taken only with one set of keys that somebody named"))
	}
	for i := range c.Issuers {
		iss := c.Issuers[i]
		if err := v.check(&iss); err != nil {
			faults = append(faults, err)
		}
		if v.issuers[iss.URL] != nil {
			faults = append(faults, fmt.Errorf("issuer %s is there twice", iss.URL))
		}
		v.issuers[iss.URL] = &iss
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
	}
	return v, nil
}

// complete puts the defaults in.
func (v *Verifier) complete() (faults []error) {
	if v.c.Now == nil {
		v.c.Now = time.Now
	}
	if v.c.MaxToken <= 0 {
		v.c.MaxToken = jose.MaxToken
	}
	if v.c.Cache != nil {
		v.refused = &denials{}
	}
	if v.c.DPoP == nil {
		var err error
		if v.c.DPoP, err = dpop.New(dpop.Options{Now: v.c.Now}); err != nil {
			faults = append(faults, err)
		}
	}
	if v.c.Keys != nil && !reflect.TypeOf(v.c.Keys).Comparable() {
		faults = append(faults, errors.New("source of keys cannot be compared"))
	}
	return faults
}

func (v *Verifier) check(iss *Issuer) error {
	if !v.c.AnyIssuer {
		if err := provider.CheckIssuer(iss.URL); err != nil {
			return fmt.Errorf("issuer %s: %w", iss.URL, err)
		}
	}
	if iss.Keys == nil && v.c.Keys == nil {
		return fmt.Errorf("issuer %s: there is nowhere to get its keys from", iss.URL)
	}
	if iss.Skew != nil && (*iss.Skew < 0 || *iss.Skew > MaxSkew) {
		return fmt.Errorf("issuer %s: skew is not between 0 and %v", iss.URL, MaxSkew)
	}
	for _, a := range iss.Algs {
		if _, err := jose.ParseAlg(string(a)); err != nil {
			return fmt.Errorf("issuer %s: %w", iss.URL, err)
		}
	}
	for _, p := range iss.Profiles {
		if !slices.Contains(claims.Profiles(), p) {
			return fmt.Errorf("issuer %s: there is no profile %q", iss.URL, p)
		}
	}
	return nil
}
