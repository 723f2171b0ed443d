package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	// maxLifetime bounds expires_in: what is longer, is or overflows a number, counts as this.
	maxLifetime = 10 * 365 * 24 * time.Hour

	typeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	typeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
)

// token asks the token endpoint and reads the answer (RFC 6749 5.1). The ID token in it is returned unchecked.
func (c *Client) token(ctx context.Context, q call) (Tokens, string, error) {
	q.endpoint, q.target = "token_endpoint", c.md.TokenEndpoint
	asked := c.opt.Now() // lifetimes count from here: the answer may have been long on its way
	resp, secrets, err := c.post(ctx, q)
	if err != nil {
		return q.salvage(httpc.Partial(err)), "", err
	}
	body := secret.New(resp.Body)
	defer body.Wipe()
	o, err := c.object(q.op, resp, secrets)
	if errors.Is(err, ErrAnswer) {
		return q.salvage(body), "", err
	}
	if err != nil {
		return Tokens{}, "", err
	}
	t, err := readTokens(o, asked)
	q.kept(t.Refresh)
	if err != nil {
		err = &Error{Op: q.op, Issuer: c.md.Issuer, Status: 200, Err: err}
		return Tokens{Refresh: t.Refresh}, "", err
	}
	id, _ := o.String("id_token")
	return t, id, nil
}

// salvage finds the refresh token in an answer of success that is refused for its form, or in the part that arrived of
// one: the provider may have replaced the old token with it, so that without it the login is lost.
func (q call) salvage(body secret.Text) (t Tokens) {
	defer body.Wipe()
	_ = body.Use(func(b []byte) error {
		if rt, _ := jose.FindString(b, "refresh_token"); rt != "" {
			t.Refresh = secret.FromString(rt)
		}
		return nil
	})
	q.kept(t.Refresh)
	return t
}

// kept hands over a refresh token that was just read, if there is one.
func (q call) kept(fresh secret.Text) {
	if q.keep != nil && !fresh.Empty() {
		q.keep(fresh)
	}
}

// readTokens is strict about what a token is and lenient about what is said beside it: a nonsensical lifetime must not
// cost a refresh token.
func readTokens(o jose.Object, asked time.Time) (Tokens, error) {
	var t Tokens
	if rt, _ := o.String("refresh_token"); rt != "" {
		t.Refresh = secret.FromString(rt)
	}
	at, err := o.String("access_token")
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if at == "" {
		return t, fmt.Errorf("%w: no access token in it", ErrAnswer)
	}
	if strings.ContainsFunc(at, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return t, fmt.Errorf("%w: the access token has characters that no header can carry", ErrAnswer)
	}
	t.IssuedType, _ = o.String("issued_token_type")
	t.Scope = readScope(o)
	if t.IssuedType == typeRefreshToken {
		t.Refresh = secret.FromString(at) // RFC 8693 2.2.1: the member has its name for historical reasons
		return t, nil
	}
	kind, err := o.String("token_type")
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if kind != "" && !strings.EqualFold(kind, "bearer") { // RFC 6749 5.1: any case; absent at some providers
		return t, fmt.Errorf("%w: token_type is %q", ErrTokenType, code(kind))
	}
	t.Access, t.Type = secret.FromString(at), "Bearer"
	if d, ok := lifetime(o, "expires_in"); ok {
		t.Expires = asked.Add(d)
	} else {
		t.Expires = ownExpiry(at, asked)
	}
	return t, nil
}

// ownExpiry is what an access token says of its end, when it is a JWT: providers may leave out expires_in. It is used
// to know when to ask for the next one, and nothing is decided by it.
func ownExpiry(at string, asked time.Time) time.Time {
	m, err := jose.Parse([]byte(at))
	if err != nil {
		return time.Time{}
	}
	defer clear(m.Payload)
	o, err := jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return time.Time{}
	}
	exp, err := o.Time("exp")
	if err != nil || exp.IsZero() {
		return time.Time{}
	}
	return asked.Add(min(max(exp.Sub(asked), 0), maxLifetime))
}

// readScope takes the string of RFC 6749 3.3, and the array that some providers send.
func readScope(o jose.Object) string {
	list, _ := o.OneOrMore("scope")
	return strings.Join(strings.Fields(strings.Join(list, " ")), " ")
}

// lifetime reads seconds: a number, or a string that holds one. Less than nothing counts as nothing.
func lifetime(o jose.Object, name string) (time.Duration, bool) {
	raw, ok := o.Raw(name)
	if !ok {
		return 0, false
	}
	if s, err := o.String(name); err == nil {
		raw = s
	}
	f, err := strconv.ParseFloat(raw, 64)
	switch {
	case math.IsNaN(f), err != nil && !math.IsInf(f, 0):
		return 0, false
	case f >= maxLifetime.Seconds():
		return maxLifetime, true
	case f <= 0:
		return 0, true
	}
	return time.Duration(f * float64(time.Second)), true
}
