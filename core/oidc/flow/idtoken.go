package flow

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// idLeeway is how far the clocks of provider and client may be apart.
const idLeeway = time.Minute

const maxSubject = 255 // OpenID Connect Core 2

type idCheck struct {
	raw    string
	nonce  string // as sent; "" = none was
	access secret.Text
}

// loggedIn finishes an answer to a person's login. An ID token that fails a check fails the login: somebody may have
// put another person's code or tokens in our hands. Without Keys the ID token is left out.
func (c *Client) loggedIn(ctx context.Context, t Tokens, id idCheck) (Tokens, error) {
	t, err := c.withID(ctx, t, id)
	if err != nil {
		t.Wipe()
		return Tokens{}, fmt.Errorf("login at %s: %w", c.md.Issuer, err)
	}
	return t, nil
}

// renewed finishes any other answer: a faulty ID token is left out and IDError says why, but a new refresh token is not
// thrown away for it.
func (c *Client) renewed(ctx context.Context, t Tokens, raw string) Tokens {
	t, t.IDError = c.withID(ctx, t, idCheck{raw: raw})
	return t
}

func (c *Client) withID(ctx context.Context, t Tokens, id idCheck) (Tokens, error) {
	if id.raw == "" || c.opt.Keys == nil || c.cc.OAuth2 {
		return t, nil
	}
	id.access = t.Access
	sub, err := c.checkID(ctx, id)
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrIDToken, err)
	}
	t.ID, t.Subject = secret.FromString(id.raw), sub
	return t, nil
}

// checkID validates by OpenID Connect Core 3.1.3.7 (numbers in brackets are its steps) and returns the subject.
func (c *Client) checkID(ctx context.Context, id idCheck) (string, error) {
	m, err := jose.Parse([]byte(id.raw)) // (7): refuses "none" and MACs
	if err != nil {
		return "", err
	}
	if m.Header.Type != "" && m.Header.Type != "jwt" { // RFC 8725 3.11: an access token is none
		return "", fmt.Errorf("typ is that of another kind of token")
	}
	o, err := jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return "", err
	}
	if err := o.RefuseVariants("iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash"); err != nil {
		return "", err
	}
	if iss, err := o.String("iss"); err != nil || iss != c.md.Issuer { // (2)
		return "", fmt.Errorf("iss is not %s", c.md.Issuer)
	}
	if err := c.signed(ctx, m); err != nil { // (6)
		return "", err
	}
	if err := c.idAudience(o); err != nil {
		return "", err
	}
	if err := c.idTimes(o); err != nil {
		return "", err
	}
	if err := idBinding(o, m.Header.Alg, id); err != nil {
		return "", err
	}
	sub, err := o.String("sub")
	if err != nil || sub == "" || len(sub) > maxSubject {
		return "", fmt.Errorf("sub is missing or too long")
	}
	return sub, nil
}

func (c *Client) signed(ctx context.Context, m *jose.Message) error {
	keys, err := c.opt.Keys.Candidates(ctx, c.md.Issuer, m.Header)
	if err != nil {
		return err
	}
	err = jose.ErrSignature
	for _, k := range keys {
		if err = m.Verify(k); err == nil {
			return nil
		}
	}
	return err
}

// idAudience: (3) to (5). Further audiences are trusted only when azp says that we are the one it was made for.
func (c *Client) idAudience(o jose.Object) error {
	aud, err := o.OneOrMore("aud")
	if err != nil || !slices.Contains(aud, c.cc.ID) {
		return fmt.Errorf("aud does not name this client")
	}
	azp, err := o.String("azp")
	if err != nil || azp != "" && azp != c.cc.ID {
		return fmt.Errorf("azp is another client")
	}
	if len(aud) > 1 && azp == "" {
		return fmt.Errorf("aud has several values and azp is missing")
	}
	return nil
}

// idTimes: (9), (10), and nbf as RFC 7519 4.1.5.
func (c *Client) idTimes(o jose.Object) error {
	now := c.opt.Now()
	exp, err := o.Time("exp")
	if err != nil || exp.IsZero() || !now.Before(exp.Add(idLeeway)) {
		return fmt.Errorf("exp is missing or past")
	}
	iat, err := o.Time("iat")
	if err != nil || iat.IsZero() || iat.After(now.Add(idLeeway)) {
		return fmt.Errorf("iat is missing or in the future")
	}
	if nbf, err := o.Time("nbf"); err != nil || nbf.After(now.Add(idLeeway)) {
		return fmt.Errorf("nbf is in the future")
	}
	return nil
}

// idBinding: (11) nonce, and at_hash of 3.1.3.8, which is optional here but right when it is there.
func idBinding(o jose.Object, alg jose.Alg, id idCheck) error {
	nonce, err := o.String("nonce")
	if err != nil || id.nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(id.nonce)) != 1 {
		return fmt.Errorf("nonce is not the one of this login")
	}
	if !o.Has("at_hash") {
		return nil
	}
	got, err := o.String("at_hash")
	if err != nil || subtle.ConstantTimeCompare([]byte(got), []byte(leftHalf(alg, id.access))) != 1 {
		return fmt.Errorf("at_hash does not belong to the access token")
	}
	return nil
}

// leftHalf is the hash of 3.1.3.6: of the algorithm of the signature, its first half in base64url. For Ed25519 it is
// SHA-512, which the signature uses inside.
func leftHalf(alg jose.Alg, t secret.Text) string {
	var sum []byte
	_ = t.Use(func(b []byte) error {
		switch {
		case strings.HasSuffix(string(alg), "256"):
			h := sha256.Sum256(b)
			sum = h[:]
		case strings.HasSuffix(string(alg), "384"):
			h := sha512.Sum384(b)
			sum = h[:]
		default:
			h := sha512.Sum512(b)
			sum = h[:]
		}
		return nil
	})
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
