package gate

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Bounds of what is kept of a token nobody believes.
const (
	maxClaimed   = 256 // bytes of one value
	maxAudiences = 4
)

// Claimed is what a refused token says of itself, cut to a bounded length. Nobody has signed it as far as we know: it
// is for the log, where it tells a person why a token was refused (a slash too many in iss, another aud), and for
// nothing else.
type Claimed struct {
	Issuer   string   `json:"iss,omitempty"`
	Subject  string   `json:"sub,omitempty"`
	Audience []string `json:"aud,omitempty"`
	ID       string   `json:"jti,omitempty"`
	KeyID    string   `json:"kid,omitempty"`
}

// claimedBy reads a token that was refused.
func (g *Gate) claimedBy(p *Presented, no *Refusal) *Claimed {
	if no == nil || no.Status == http.StatusForbidden || p.Token.Empty() {
		return nil
	}
	var c *Claimed
	_ = p.Token.Use(func(token []byte) error { // what cannot be read claims nothing
		c = ClaimedBy(token, g.maxToken)
		return nil
	})
	return c
}

// ClaimedBy returns what a token of at most limit bytes says of itself, nil when it cannot be read. Nothing is checked.
func ClaimedBy(token []byte, limit int) *Claimed {
	m, err := jose.ParseLimit(token, limit)
	if err != nil {
		return nil
	}
	t, err := claims.Parse(m.Payload)
	if err != nil {
		return nil
	}
	c := &Claimed{Issuer: cut(t.Issuer), Subject: cut(t.Subject), ID: cut(t.ID), KeyID: cut(m.Header.KeyID)}
	for _, aud := range t.Audience[:min(len(t.Audience), maxAudiences)] {
		c.Audience = append(c.Audience, cut(aud))
	}
	return c
}

// cut copies the beginning of s, so that the token it was read from is not kept.
func cut(s string) string { return string([]byte(s[:min(len(s), maxClaimed)])) }
