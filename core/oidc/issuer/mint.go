package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	typeAccess = "at+jwt" // RFC 9068 section 2.1
	typeID     = "JWT"
	wlcgVer    = "1.0" // what every reader of the profile accepts
)

// audience is a string when it is one, an array when it is several (RFC 7519 section 4.1.3).
type audience []string

// MarshalJSON writes the short form where it can.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// actor is the act claim of RFC 8693 section 4.1: who exchanged the token, and who before.
type actor struct {
	Subject string `json:"sub"`
	Before  *actor `json:"act,omitempty"`
}

// maxActors bounds how often a token may be exchanged on, and with it how far tokens grow.
const maxActors = 8

func (a *actor) depth() int {
	n := 0
	for ; a != nil; a = a.Before {
		n++
	}
	return n
}

// accessClaims are those of an access token: RFC 9068 section 2.2 and the WLCG profile.
type accessClaims struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     audience `json:"aud"`
	Expires      int64    `json:"exp"`
	IssuedAt     int64    `json:"iat"`
	NotBefore    int64    `json:"nbf"`
	ID           string   `json:"jti"`
	ClientID     string   `json:"client_id"`
	Scope        string   `json:"scope,omitempty"`
	AuthTime     int64    `json:"auth_time,omitempty"`
	Version      string   `json:"wlcg.ver"`
	Groups       []string `json:"wlcg.groups,omitempty"`
	Assurance    []string `json:"eduperson_assurance,omitempty"`
	EduEntitled  []string `json:"eduperson_entitlement,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"`
	Actor        *actor   `json:"act,omitempty"`
}

func (c accessClaims) scopes() []string { return strings.Fields(c.Scope) }

// wanted says what access token to make.
type wanted struct {
	GrantID  string // "": none
	Client   string
	Subject  string
	User     *User // nil: the client itself
	Scope    []string
	Audience []string // empty: the issuer's default
	AuthTime int64
	Actor    *actor
	NotAfter time.Time // zero: the full lifetime
}

// mintAccess signs an access token and returns it with its lifetime in seconds.
func (i *Issuer) mintAccess(t wanted) (secret.Text, int64, error) {
	now := i.o.Now()
	expires := now.Add(i.o.AccessTTL)
	if !t.NotAfter.IsZero() && t.NotAfter.Before(expires) {
		expires = t.NotAfter
	}
	c := accessClaims{
		Issuer: i.o.URL, Subject: t.Subject, Audience: t.Audience, Expires: expires.Unix(), IssuedAt: now.Unix(),
		NotBefore: now.Unix(), ID: newTokenID(t.GrantID), ClientID: t.Client, Scope: strings.Join(t.Scope, " "),
		AuthTime: t.AuthTime, Version: wlcgVer, Actor: t.Actor,
	}
	if len(c.Audience) == 0 {
		c.Audience = audience{i.o.Audience}
	}
	if t.User != nil {
		c.Groups = selectGroups(*t.User, t.Scope)
		c.Assurance = ifAsked(t.Scope, "eduperson_assurance", t.User.Assurance)
		c.EduEntitled = ifAsked(t.Scope, "eduperson_entitlement", t.User.Entitlements)
		c.Entitlements = ifAsked(t.Scope, "entitlements", t.User.Entitlements)
	}
	token, err := i.sign(typeAccess, c)
	return token, c.Expires - c.IssuedAt, err
}

func ifAsked(scopes []string, name string, values []string) []string {
	if slices.Contains(scopes, name) {
		return values
	}
	return nil
}

// idClaims are those of an ID token (OpenID Connect Core section 2).
type idClaims struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Audience   string `json:"aud"`
	Expires    int64  `json:"exp"`
	IssuedAt   int64  `json:"iat"`
	AuthTime   int64  `json:"auth_time,omitempty"`
	ID         string `json:"jti"`
	Nonce      string `json:"nonce,omitempty"`
	AccessHash string `json:"at_hash"`
	Version    string `json:"wlcg.ver"`
	personClaims
}

// mintID signs an ID token that goes with the access token at.
func (i *Issuer) mintID(t wanted, nonce string, at secret.Text) (secret.Text, error) {
	now := i.o.Now()
	return i.sign(typeID, idClaims{
		Issuer: i.o.URL, Subject: t.Subject, Audience: t.Client, Expires: now.Add(i.o.AccessTTL).Unix(),
		IssuedAt: now.Unix(), AuthTime: t.AuthTime, ID: random(16), Nonce: nonce,
		AccessHash: accessHash(at, i.ring.signer().Alg()), Version: wlcgVer, personClaims: personOf(*t.User, t.Scope),
	})
}

// accessHash is at_hash (OpenID Connect Core section 3.1.3.6): the left half of the hash that belongs to the algorithm.
func accessHash(at secret.Text, alg jose.Alg) string {
	var sum []byte
	_ = at.Use(func(b []byte) error {
		switch {
		case strings.HasSuffix(string(alg), "384"):
			s := sha512.Sum384(b)
			sum = s[:]
		case strings.HasSuffix(string(alg), "256"):
			s := sha256.Sum256(b)
			sum = s[:]
		default: // the 512s, and EdDSA, which hashes with SHA-512
			s := sha512.Sum512(b)
			sum = s[:]
		}
		return nil
	})
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func (i *Issuer) sign(typ string, claims any) (secret.Text, error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return secret.Text{}, fmt.Errorf("encode claims: %w", err)
	}
	token, err := i.ring.signer().Sign(typ, b)
	if err != nil {
		return secret.Text{}, fmt.Errorf("sign a token: %w", err)
	}
	return token, nil
}

// errNotOurs is returned by ownToken for what is no access token of ours, or is expired or revoked.
var errNotOurs = errors.New("not a valid access token of this issuer")

// ownToken checks an access token that this issuer made and returns its claims, or errNotOurs.
func (i *Issuer) ownToken(ctx context.Context, raw string) (accessClaims, error) {
	c, err := i.checkSigned(raw)
	if err != nil {
		return accessClaims{}, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	now := i.o.Now().Unix()
	if c.Issuer != i.o.URL || now >= c.Expires || c.ID == "" {
		return accessClaims{}, errNotOurs
	}
	_, denied, err := find[bool](ctx, i, deniedTable(), c.ID)
	if err != nil {
		return accessClaims{}, err
	}
	alive, err := i.grantAlive(ctx, c.ID)
	if err != nil {
		return accessClaims{}, err
	}
	if denied || !alive {
		return accessClaims{}, errNotOurs
	}
	return c, nil
}

func (i *Issuer) checkSigned(raw string) (accessClaims, error) {
	m, err := jose.Parse([]byte(raw))
	if err != nil {
		return accessClaims{}, err
	}
	if m.Header.Type != typeAccess {
		return accessClaims{}, jose.ErrTokenType
	}
	err = jose.ErrSignature
	for _, k := range i.ring.public().Candidates(m.Header) {
		if err = m.Verify(k); err == nil {
			break
		}
	}
	if err != nil {
		return accessClaims{}, err
	}
	var c accessClaims
	// The payload is ours: the signature says so.
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		return accessClaims{}, errors.New("claims are not those of an access token")
	}
	return c, nil
}
