package flow

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	typeAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLife is short because an assertion is for one request that is sent now; it leaves room for clocks that
	// differ.
	assertionLife = time.Minute
)

// assertion is the payload of a client's statement about itself (RFC 7523 section 3, OpenID Connect Core 9).
type assertion struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// assert authenticates with a signature: no secret leaves this process. client_id goes beside it, which RFC 7523 leaves
// open and several providers want.
func (c *Client) assert(form url.Values) (func(*http.Request), error) {
	to := c.md.Issuer
	switch c.cc.Assertion {
	case ForIssuer, "":
	case ForTokenEndpoint:
		to = c.md.TokenEndpoint
	default:
		return nil, fmt.Errorf("%w: assertions for %q", ErrAuthMethod, code(string(c.cc.Assertion)))
	}
	now := c.opt.Now()
	payload, err := json.Marshal(assertion{
		Issuer: c.cc.ID, Subject: c.cc.ID, Audience: to, ID: rand.Text(), Issued: now.Unix(),
		Expires: now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return nil, fmt.Errorf("write a client assertion: %w", err)
	}
	signed, err := c.cc.Key.Sign("JWT", payload)
	if err != nil {
		return nil, fmt.Errorf("make a client assertion: %w", err)
	}
	defer signed.Wipe()
	form.Set("client_id", c.cc.ID)
	form.Set("client_assertion_type", typeAssertion)
	form.Set("client_assertion", signed.Expose())
	return func(*http.Request) {}, nil
}
