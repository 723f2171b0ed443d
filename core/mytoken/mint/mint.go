package mint

import (
	"bytes"
	"crypto/rand"
	"crypto/sha3"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Version is the version of the tokens made here.
const Version = "0.7"

// typ is what the header of every mytoken says.
const typ = "MT+JWT"

// claims are those of a mytoken in the order in which they are written.
type claims struct {
	Version      string               `json:"ver"`
	TokenType    string               `json:"token_type"`
	Issuer       string               `json:"iss"`
	Subject      string               `json:"sub"`
	SeqNo        int64                `json:"seq_no"`
	Name         string               `json:"name,omitempty"`
	Audience     string               `json:"aud"`
	OIDCSubject  string               `json:"oidc_sub"`
	OIDCIssuer   string               `json:"oidc_iss"`
	Capabilities mytoken.Capabilities `json:"capabilities"`
	Expires      int64                `json:"exp,omitempty"`
	NotBefore    int64                `json:"nbf"`
	IssuedAt     int64                `json:"iat"`
	AuthTime     int64                `json:"auth_time"`
	ID           string               `json:"jti"`
	Restrictions mytoken.Restrictions `json:"restrictions,omitempty"`
	Rotation     *mytoken.Rotation    `json:"rotation,omitempty"`
	Confirmation *confirmation        `json:"cnf,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// Minter makes the mytokens of one server. It may be used from several goroutines.
type Minter struct {
	issuer string
	key    *jose.PrivateKey
}

// New returns what makes the mytokens of the server issuer. The error is ErrAlgorithm.
func New(issuer string, key *jose.PrivateKey) (*Minter, error) {
	switch key.Alg() {
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512:
		return &Minter{issuer: issuer, key: key}, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrAlgorithm, key.Alg())
}

// DefaultAlg is what keys are made for unless the operator says otherwise.
const DefaultAlg = jose.ES512

// Order is what a new mytoken is made of. Restrictions and Rotation are settled.
type Order struct {
	Name         string
	OIDCIssuer   string // the provider, as it is spelled in the configuration
	OIDCSubject  string // the person there
	Capabilities mytoken.Capabilities
	Restrictions mytoken.Restrictions
	Rotation     *mytoken.Rotation
	AuthTime     time.Time // of the login; that of the parent where it is made from another
	// KeyThumbprint binds the mytoken to a key (RFC 7638). "": a bearer token.
	KeyThumbprint string
	Now           time.Time
}

// Issue makes a mytoken with a new jti and seq_no 1, and returns it with what it says. It expires with the last of its
// restrictions, if all have an end, and is valid from now on or from the first of them.
func (m *Minter) Issue(o Order) (secret.Text, mytoken.Claims, error) {
	if o.OIDCIssuer == "" || o.OIDCSubject == "" || len(o.Capabilities) == 0 {
		return secret.Text{}, mytoken.Claims{}, fmt.Errorf("%w: it needs a person and a capability", ErrOrder)
	}
	return m.sign(mytoken.Claims{
		Version: Version, Issuer: m.issuer, Subject: Subject(o.OIDCSubject, o.OIDCIssuer), SeqNo: 1, Name: o.Name,
		Audience: m.issuer, OIDCIssuer: o.OIDCIssuer, OIDCSubject: o.OIDCSubject, ID: newID(),
		Expires: rules.Ends(o.Restrictions), NotBefore: rules.Begins(o.Restrictions, o.Now), IssuedAt: o.Now,
		AuthTime: o.AuthTime, Capabilities: o.Capabilities, Restrictions: o.Restrictions, Rotation: o.Rotation,
		KeyThumbprint: o.KeyThumbprint,
	})
}

// Rotate makes the mytoken that replaces the one that says c: the same but for the next seq_no, the time of issue and,
// with a lifetime, the end.
func (m *Minter) Rotate(c mytoken.Claims, now time.Time) (secret.Text, mytoken.Claims, error) {
	if c.Issuer != m.issuer || c.SeqNo < 1 {
		return secret.Text{}, mytoken.Claims{}, fmt.Errorf("%w: nothing to rotate", ErrOrder)
	}
	c.SeqNo++
	c.Expires = rules.Expiry(c.Restrictions, c.Rotation, c.Expires, now)
	c.IssuedAt, c.NotBefore = now, now
	return m.sign(c)
}

// sign writes and signs the claims, and returns them as they were written.
func (m *Minter) sign(c mytoken.Claims) (secret.Text, mytoken.Claims, error) {
	payload, err := encode(c)
	if err != nil {
		return secret.Text{}, mytoken.Claims{}, fmt.Errorf("make a mytoken: %w", err)
	}
	written, err := mytoken.ParseClaims(payload)
	if err != nil {
		return secret.Text{}, mytoken.Claims{}, fmt.Errorf("make a mytoken: %w", err)
	}
	t, err := m.key.SignWithoutID(typ, payload)
	if err != nil {
		return secret.Text{}, mytoken.Claims{}, fmt.Errorf("make a mytoken: %w", err)
	}
	return t, written, nil
}

func encode(c mytoken.Claims) ([]byte, error) {
	w := claims{
		Version: c.Version, TokenType: mytoken.TokenType, Issuer: c.Issuer, Subject: c.Subject, SeqNo: c.SeqNo,
		Name: c.Name, Audience: c.Audience, OIDCSubject: c.OIDCSubject, OIDCIssuer: c.OIDCIssuer,
		Capabilities: c.Capabilities, Expires: seconds(c.Expires), NotBefore: seconds(c.NotBefore),
		IssuedAt: seconds(c.IssuedAt), AuthTime: seconds(c.AuthTime), ID: c.ID, Restrictions: c.Restrictions,
		Rotation: c.Rotation,
	}
	if c.KeyThumbprint != "" {
		w.Confirmation = &confirmation{c.KeyThumbprint}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// seconds is 0 for no time.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Subject is the sub of the mytokens of a person: the hash of subject and issuer at the provider, the same for all of
// them and of no use to find the person by.
func Subject(oidcSubject, oidcIssuer string) string {
	sum := sha3.Sum256([]byte(oidcSubject + "@" + oidcIssuer))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// newID returns a random UUID (version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Warning tells the operator why clients of the existing service would not take the mytokens signed with key for JWTs,
// "" when they do: they decode the signature with padding, and need its length to be a multiple of 3 bytes.
func (m *Minter) Warning() (string, error) {
	t, err := m.key.SignWithoutID(typ, []byte("{}"))
	if err != nil {
		return "", fmt.Errorf("try the signing key: %w", err)
	}
	defer t.Wipe()
	var n int
	err = t.Use(func(b []byte) error {
		n = base64.RawURLEncoding.DecodedLen(len(b) - 1 - bytes.LastIndexByte(b, '.'))
		return nil
	})
	if err != nil || n%3 == 0 {
		return "", err
	}
	return fmt.Sprintf("signatures of this %s key have %d bytes, which is no multiple of 3: existing mytoken clients "+
		"will not recognise the tokens; use ES512, ES384 or RSA with 3072 bits", m.key.Alg(), n), nil
}
