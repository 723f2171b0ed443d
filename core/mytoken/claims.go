package mytoken

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// TokenType is what every mytoken says in token_type.
const TokenType = "mytoken"

// Claims are what a mytoken says of itself (token version 0.7).
type Claims struct {
	Version            string
	Issuer             string // of the server
	Subject            string // at the server
	Audience           string // of the mytoken itself: the server
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
	KeyThumbprint      string // of the key it is bound to (cnf.jkt, RFC 9449 section 6.1), "" for a bearer token
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
		c, err = readPayload(m.Payload)
		return err
	})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return c, nil
}

// ParseClaims reads the payload of a mytoken whose signature was checked. What limits the token has to be readable to
// the last member: the error, which wraps ErrToken, is never "no limit".
func ParseClaims(payload []byte) (Claims, error) {
	c, err := readPayload(payload)
	if err == nil {
		err = c.readLimits()
	}
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return c, nil
}

func readPayload(payload []byte) (Claims, error) {
	o, err := jose.StrictObject(payload, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return Claims{}, err
	}
	if kind, _ := o.String("token_type"); kind != TokenType {
		return Claims{}, &jose.MemberError{Name: "token_type", Want: TokenType}
	}
	return readClaims(o.WithoutNull())
}

// readLimits reads what a token is limited by, strictly.
func (c *Claims) readLimits() error {
	c.Capabilities, c.Restrictions, c.Rotation = nil, nil, nil
	for _, m := range []struct {
		name string
		to   json.Unmarshaler
		kind byte // what its JSON begins with in a token
	}{
		{"capabilities", &c.Capabilities, '['},
		{"restrictions", &c.Restrictions, '['},
	} {
		raw, ok := c.rest.Raw(m.name)
		if !ok {
			continue
		}
		if raw[0] != m.kind {
			return &jose.MemberError{Name: m.name, Want: "an array"}
		}
		if err := m.to.UnmarshalJSON([]byte(raw)); err != nil {
			return err
		}
	}
	raw, ok := c.rest.Raw("rotation")
	if !ok {
		return nil
	}
	if raw[0] != '{' {
		return &jose.MemberError{Name: "rotation", Want: "an object"}
	}
	c.Rotation = new(Rotation)
	return c.Rotation.UnmarshalJSON([]byte(raw))
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
	cnf, _, err := o.Object("cnf")
	if err != nil {
		return c, err
	}
	if c.KeyThumbprint, err = cnf.String("jkt"); err != nil {
		return c, err
	}
	c.Audience, _ = o.String("aud")
	limits := Issued{} // for showing: what cannot be read is left out
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
