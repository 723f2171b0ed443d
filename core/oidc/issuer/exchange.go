package issuer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// ExchangeRule is a row of the policy of token exchange. Without a row that fits, an exchange gives a part of the
// subject token: its scopes or less, its audiences or less, no longer than it lives, and no refresh token. With one it
// gives what the row lists, or less, whatever the subject token had. One row, or the subject token, has to cover a
// whole request.
type ExchangeRule struct {
	Client string // who asks; never empty
	// SubjectClient is the client_id of the subject token, SubjectAudience one of its audiences. One of the two is
	// needed; both given, both must hold.
	SubjectClient, SubjectAudience string
	Require                        []string // scopes that the subject token must have
	Scopes                         []string // what may be given; a path scope covers those below it
	Audiences                      []string // for whom; AnyAudience covers all
	Refresh                        bool     // offline_access may be asked for
}

// SamplePolicy is the journey of a third-party copy: FTS turns a token that lets it submit transfers into one for two
// storage elements, which it can refresh while the transfer waits.
func SamplePolicy() []ExchangeRule {
	return []ExchangeRule{{
		Client: "fts", SubjectAudience: "https://fts.example", Require: []string{"fts:submit-transfer"},
		Scopes:    []string{"storage.read:/", "storage.create:/"},
		Audiences: []string{"https://se1.example", "https://se2.example"}, Refresh: true,
	}}
}

func (x ExchangeRule) check() error {
	switch {
	case x.Client == "":
		return errors.New("no client")
	case x.SubjectClient == "" && x.SubjectAudience == "":
		return errors.New("neither the subject's client nor its audience")
	case len(x.Scopes) == 0 || len(x.Audiences) == 0:
		return errors.New("no scopes or no audiences")
	}
	return nil
}

func (x ExchangeRule) fits(c party, subject accessClaims) bool {
	return x.Client == c.ID &&
		(x.SubjectClient == "" || x.SubjectClient == subject.ClientID) &&
		(x.SubjectAudience == "" || slices.Contains(subject.Audience, x.SubjectAudience)) &&
		!slices.ContainsFunc(x.Require, func(s string) bool { return !coveredBy(subject.scopes(), s) })
}

// exchangeRequest is RFC 8693 section 2.1, read.
type exchangeRequest struct {
	subject  accessClaims
	scope    []string // empty: not said
	audience []string // empty: not said
	offline  bool     // a refresh token is asked for
	kind     string   // requested_token_type
}

// offer is one way to satisfy a request.
type offer struct {
	scope, audience []string
	notAfter        time.Time // zero: the full lifetime
}

func (i *Issuer) exchange(ctx context.Context, c party, q url.Values) (answer, error) {
	x, err := i.readExchange(ctx, c, q)
	if err != nil {
		return answer{}, err
	}
	o, err := i.decide(c, x)
	if err != nil {
		return answer{}, err
	}
	u := i.subject(x.subject.Subject)
	t := wanted{
		Client: c.ID, Subject: x.subject.Subject, User: u, Audience: o.audience, AuthTime: x.subject.AuthTime,
		NotAfter: o.notAfter, Actor: x.subject.Actor,
		Scope: slices.DeleteFunc(slices.Clone(o.scope), func(s string) bool { return i.tied(s, u) }),
	}
	if c.ID != x.subject.ClientID {
		t.Actor = &actor{Subject: c.ID, Before: x.subject.Actor}
	}
	if x.offline {
		return i.exchangeOffline(ctx, c, x, t)
	}
	// A part of a token dies with the token's family.
	t.GrantID = familyOfID(x.subject.ID)
	at, life, err := i.mintAccess(t)
	return answer{Access: at, Lifetime: life, Scope: t.Scope, IssuedType: tokenTypeAccess}, err
}

// exchangeOffline starts a family of its own, which outlives the subject token.
func (i *Issuer) exchangeOffline(ctx context.Context, c party, x exchangeRequest, t wanted) (answer, error) {
	if err := i.grants.take(ctx, i); err != nil {
		return answer{}, err
	}
	t.Scope = append(t.Scope, scopeOffline)
	fam := i.newFamily(newGrantID(), c, grant{
		Subject: t.Subject, Scope: t.Scope, Audience: t.Audience, AuthTime: t.AuthTime, Actor: t.Actor,
	})
	err := i.o.Engine.Update(ctx, func(tx store.WTx) error { return i.saveGrant(tx, fam.ID, fam.Row) })
	if err != nil {
		return answer{}, err
	}
	if x.kind == tokenTypeRefresh {
		// The refresh token is then the token that was asked for (RFC 8693 section 2.2.1).
		return answer{
			Access: fam.Refresh, Type: "N_A", IssuedType: tokenTypeRefresh, Scope: t.Scope,
			Lifetime: fam.Row.Expires - i.o.Now().Unix(),
		}, nil
	}
	t.GrantID = fam.ID
	at, life, err := i.mintAccess(t)
	return answer{Access: at, Refresh: fam.Refresh, Lifetime: life, Scope: t.Scope, IssuedType: tokenTypeAccess}, err
}

func (i *Issuer) readExchange(ctx context.Context, c party, q url.Values) (x exchangeRequest, err error) {
	if x.scope, err = parseScope(q.Get("scope")); err != nil {
		return x, err
	}
	if x.audience, err = readAudience(q); err != nil {
		return x, err
	}
	switch {
	case q.Get("subject_token") == "":
		return x, badRequest("subject_token is missing")
	case q.Has("actor_token"):
		return x, badRequest("actor_token is not supported")
	}
	switch q.Get("subject_token_type") {
	case "":
		i.o.Log.Warn("exchange without subject_token_type, taken as an access token", "op", "exchange", "client", c.ID)
	case tokenTypeAccess, tokenTypeJWT:
	default:
		return x, badRequest("subject_token_type must be an access token")
	}
	x.kind = orDefault(q.Get("requested_token_type"), tokenTypeAccess)
	if !slices.Contains([]string{tokenTypeAccess, tokenTypeJWT, tokenTypeRefresh}, x.kind) {
		return x, badRequest("requested_token_type is not supported")
	}
	if x.subject, err = i.ownToken(ctx, q.Get("subject_token")); errors.Is(err, errNotOurs) {
		e := httpd.Refuse(http.StatusBadRequest, codeInvalidRequest, "subject_token is not valid")
		e.Err = err
		return x, e
	}
	if x.subject.Actor.depth() >= maxActors {
		return x, badRequest("the token was exchanged too often")
	}
	x.offline = x.kind == tokenTypeRefresh || slices.Contains(x.scope, scopeOffline)
	x.scope = slices.DeleteFunc(x.scope, func(s string) bool { return s == scopeOffline })
	return x, err
}

// decide finds what covers the request: the subject token first, then the rows of the policy in their order. The error
// is that of the subject token, which says best what was asked too much.
func (i *Issuer) decide(c party, x exchangeRequest) (offer, error) {
	o, refusal := i.part(x)
	if refusal == nil {
		return o, nil
	}
	for _, rule := range i.o.Policy {
		if !rule.fits(c, x.subject) || x.offline && !(rule.Refresh && c.may(GrantRefresh)) {
			continue
		}
		o := offer{scope: x.scope}
		if len(o.scope) == 0 {
			o.scope = rule.Scopes
		}
		aud, err := narrowAudience(rule.Audiences, x.audience)
		if err == nil && !slices.ContainsFunc(o.scope, func(s string) bool { return !coveredBy(rule.Scopes, s) }) {
			o.audience = aud
			return o, nil
		}
	}
	return offer{}, refusal
}

// part is what the subject token itself covers.
func (i *Issuer) part(x exchangeRequest) (offer, error) {
	if x.offline {
		return offer{}, badScope("the exchange policy gives no refresh token for this")
	}
	have := slices.DeleteFunc(x.subject.scopes(), func(s string) bool { return s == scopeOffline })
	o := offer{scope: x.scope, notAfter: time.Unix(x.subject.Expires, 0)}
	if len(o.scope) == 0 {
		o.scope = have
	}
	for _, s := range o.scope {
		if !coveredBy(have, s) {
			return offer{}, badScope("the scope is wider than that of the subject token")
		}
	}
	var err error
	o.audience, err = narrowAudience(x.subject.Audience, x.audience)
	return o, err
}
