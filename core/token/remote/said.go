package remote

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// ahead is how far nbf may lie in the future, as with signed tokens.
const ahead = time.Minute

// introspected reads an introspection answer. Members that are null count as absent: some servers write all out.
func (p *party) introspected(o jose.Object) (Said, error) {
	if active, err := o.Bool("active"); err != nil || !active {
		return Said{}, ErrInactive
	}
	o, err := compact(o.WithoutNull())
	if err != nil {
		return Said{}, unusable("introspection", err)
	}
	t, err := claims.FromObject(o)
	if err != nil {
		return Said{}, unusable("introspection", err)
	}
	if t.Issuer != "" && t.Issuer != p.URL {
		return Said{}, fmt.Errorf("%w: it names another issuer", ErrContradiction)
	}
	t.Issuer = p.URL
	named, err := kind(o)
	if err != nil {
		return Said{}, err
	}
	now := p.o.Now()
	if !t.Expiry.IsZero() && !now.Before(t.Expiry) {
		return Said{}, fmt.Errorf("%w: its exp has passed", ErrInactive)
	}
	if t.NotBefore.After(now.Add(ahead)) {
		return Said{}, fmt.Errorf("%w: its nbf lies ahead", ErrInactive)
	}
	return Said{Introspection: o, Claims: t, named: named}, nil
}

// kind refuses other tokens that an issuer may be asked about: introspection says active of a refresh token, too. named
// reports whether the answer says that it is an access token.
func kind(o jose.Object) (named bool, err error) {
	for _, name := range []string{"token_type", "token_use", "typ"} {
		s, err := o.String(name)
		if err != nil {
			return false, fmt.Errorf("%w: %s is no string", ErrKind, name)
		}
		switch strings.ToLower(s) {
		case "bearer", "dpop", "access_token", "access", "at+jwt", "urn:ietf:params:oauth:token-type:access_token":
			named = true
		case "refresh_token", "refresh", "refresh token", "offline", "id_token", "id", "logout",
			"urn:ietf:params:oauth:token-type:refresh_token", "urn:ietf:params:oauth:token-type:id_token":
			return false, ErrKind
		}
	}
	return named, nil
}

// person adds a userinfo answer, which is thrown away with everything else when it is about somebody else (OpenID
// Connect Core section 5.3.2).
func (s *Said) person(p *party, o jose.Object) error {
	o, err := compact(o.WithoutNull())
	if err != nil {
		return unusable("userinfo", err)
	}
	sub, err := o.String("sub")
	if err != nil || sub == "" {
		return unusable("userinfo", &jose.MemberError{Name: "sub", Want: "a string that is not empty"})
	}
	if s.Claims.Subject != "" && s.Claims.Subject != sub {
		return fmt.Errorf("%w: userinfo is about another subject", ErrContradiction)
	}
	if iss, err := o.String("iss"); err != nil || iss != "" && iss != p.URL {
		return fmt.Errorf("%w: userinfo names another issuer", ErrContradiction)
	}
	s.Userinfo, s.Claims.Issuer, s.Claims.Subject = o, p.URL, sub
	return nil
}

// unusable is an answer that cannot be read. That is the issuer's fault and decides nothing.
func unusable(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, flow.ErrAnswer, err)
}

// against compares what was said with the claims of the signed token, which are the truth.
func (s *Said) against(signed *claims.Token) error {
	if signed == nil {
		return nil
	}
	said := &s.Claims
	if said.Subject != "" && said.Subject != signed.Subject {
		return fmt.Errorf("%w: it is about another subject", ErrContradiction)
	}
	if said.Issuer != "" && said.Issuer != signed.Issuer {
		return fmt.Errorf("%w: it names another issuer", ErrContradiction)
	}
	if said.ID != "" && signed.ID != "" && said.ID != signed.ID {
		return fmt.Errorf("%w: it is about another token (jti)", ErrContradiction)
	}
	if len(said.Audience) > 0 && len(signed.Audience) > 0 &&
		!slices.ContainsFunc(said.Audience, func(a string) bool { return slices.Contains(signed.Audience, a) }) {
		return fmt.Errorf("%w: it is for another audience", ErrContradiction)
	}
	if !signed.Expiry.IsZero() && signed.Expiry.Before(s.Expires) {
		s.Expires = signed.Expiry
	}
	return nil
}
