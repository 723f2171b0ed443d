package mytoken

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Claims are what a mytoken says of itself (token version 0.7).
type Claims struct {
	Version            string
	Issuer             string // of the server
	Subject            string // at the server
	SeqNo              int64  // 1, and one more with each rotation
	Name               string
	OIDCIssuer         string // the provider behind it
	OIDCSubject        string // the person there
	ID                 string // jti: stays the same over rotations
	Expires, NotBefore time.Time
	IssuedAt, AuthTime time.Time
	Capabilities       Capabilities
	Restrictions       Restrictions
	Rotation           *Rotation
	rest               jose.Object
}

// ReadClaims reads a mytoken that is a JWT, without a check of its signature: for showing, and for finding the server.
// A short token has no claims: ErrToken.
func ReadClaims(mt secret.Text) (Claims, error) {
	var c Claims
	err := mt.Use(func(b []byte) error {
		m, err := jose.Parse(b)
		if err != nil {
			return err
		}
		o, err := jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers)
		if err != nil {
			return err
		}
		if kind, _ := o.String("token_type"); kind != "mytoken" {
			return &jose.MemberError{Name: "token_type", Want: "mytoken"}
		}
		c, err = readClaims(o.WithoutNull())
		return err
	})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return c, nil
}

func readClaims(o jose.Object) (c Claims, err error) {
	for _, m := range []struct {
		name string
		to   *string
	}{
		{"ver", &c.Version},
		{"iss", &c.Issuer},
		{"sub", &c.Subject},
		{"name", &c.Name},
		{"oidc_iss", &c.OIDCIssuer},
		{"oidc_sub", &c.OIDCSubject},
		{"jti", &c.ID},
	} {
		if *m.to, err = o.String(m.name); err != nil {
			return c, err
		}
	}
	for _, m := range []struct {
		name string
		to   *time.Time
	}{{"exp", &c.Expires}, {"nbf", &c.NotBefore}, {"iat", &c.IssuedAt}, {"auth_time", &c.AuthTime}} {
		if *m.to, err = o.Time(m.name); err != nil {
			return c, err
		}
	}
	if c.SeqNo, _, err = o.Int("seq_no"); err != nil {
		return c, err
	}
	limits := Issued{}
	limits.readLimits(o)
	c.Capabilities, c.Restrictions, c.Rotation = limits.Capabilities, limits.Restrictions, limits.Rotation
	c.rest = o
	return c, nil
}

// MarshalJSON writes the claims as they came.
func (c Claims) MarshalJSON() ([]byte, error) { return c.rest.MarshalJSON() }

// MOMID is the public name of the mytoken: the hash of its jti, "" where that is no UUID.
func (c Claims) MOMID() string {
	raw, err := hex.DecodeString(strings.ReplaceAll(c.ID, "-", ""))
	if err != nil || len(raw) != 16 {
		return ""
	}
	sum := sha512.Sum512(raw)
	return base64.StdEncoding.EncodeToString(sum[:])
}
