package mytoken

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Grant types of the mytoken endpoint.
const (
	grantOIDC     = "oidc_flow"
	grantMytoken  = "mytoken"
	grantPolling  = "polling_code"
	grantTransfer = "transfer_code"
)

// Times of a login and bounds for what a server says instead.
const (
	defaultInterval = 5 * time.Second
	minInterval     = time.Second
	maxInterval     = time.Minute
	defaultLife     = 5 * time.Minute
	maxLife         = time.Hour
	maxShownURL     = 2048
)

// Consent is a login that waits for a person, who opens URI in a browser.
type Consent struct {
	URI      string // safe to print
	UserCode string // with Request.Device: what the person types at URI, if it is not in that; safe to print
	Code     secret.Text
	Expires  time.Time
	Interval time.Duration // between polls
}

// Start begins a login at the provider r.Issuer: the person reads and may change what is asked for on the server's
// consent page, and logs in. The answer of the server is fetched with Poll or Wait.
func (c *Client) Start(ctx context.Context, r Request) (Consent, error) {
	const op = "login"
	if r.Application == "" {
		r.Application = c.opt.Application
	}
	q := call{op: op, endpoint: "mytoken_endpoint", target: c.server.MytokenEndpoint}
	q.body.put("grant_type", grantOIDC)
	if r.Device {
		q.body.put("oidc_flow", "device")
	} else {
		q.body.put("oidc_flow", "authorization_code")
		q.body.put("client_type", "native")
	}
	r.write(&q.body)
	a, _, err := c.do(ctx, q)
	if err != nil {
		return Consent{}, err
	}
	out, err := readConsent(a, r.Device)
	if err != nil {
		return Consent{}, c.bad(op, err)
	}
	return out, nil
}

func readConsent(a answer, device bool) (Consent, error) {
	uri, user, err := whereTo(a, device)
	if err != nil {
		return Consent{}, err
	}
	code, err := a.String("polling_code")
	if err != nil {
		return Consent{}, err
	}
	switch {
	case code == "":
		return Consent{}, fmt.Errorf("%w: no polling_code in it", ErrAnswer)
	case !showableURL(uri):
		return Consent{}, fmt.Errorf("%w: consent_uri is missing or cannot be shown", ErrAnswer)
	}
	out := Consent{URI: uri, UserCode: user, Code: secret.FromString(code), Interval: defaultInterval}
	life := defaultLife
	if n, ok, _ := a.Int("expires_in"); ok && n > 0 {
		life = min(secondsOf(n), maxLife)
	}
	if n, ok, _ := a.Int("interval"); ok && n > 0 {
		out.Interval = min(max(secondsOf(n), minInterval), maxInterval)
	}
	out.Expires = a.asked.Add(life)
	return out, nil
}

// maxUserCode bounds the code that a person types.
const maxUserCode = 64

// whereTo returns where the person goes, and for a device the code to be typed there.
func whereTo(a answer, device bool) (uri, user string, err error) {
	if !device {
		uri, err = a.String("consent_uri")
		return uri, "", err
	}
	if user, err = a.String("user_code"); err != nil {
		return "", "", err
	}
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if user == "" || len(user) > maxUserCode || strings.ContainsFunc(user, bad) {
		return "", "", fmt.Errorf("%w: user_code is missing or cannot be shown", ErrAnswer)
	}
	if uri, err = a.String("verification_uri_complete"); err != nil || uri != "" {
		return uri, user, err
	}
	uri, err = a.String("verification_uri")
	return uri, user, err
}

// showableURL keeps what a person is told to open to web addresses.
func showableURL(s string) bool {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == ' ' }
	if s == "" || len(s) > maxShownURL || strings.ContainsFunc(s, bad) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// Poll asks once whether the person has decided: ErrPending, ErrDeclined, ErrExpired, or the mytoken. The caller keeps
// the interval.
func (c *Client) Poll(ctx context.Context, w Consent) (Issued, error) {
	return c.forCode(ctx, "poll", grantPolling, w.Code)
}

// Redeem gives the mytoken that a transfer code stands for. A code is good for one use.
func (c *Client) Redeem(ctx context.Context, code secret.Text) (Issued, error) {
	if code.Empty() {
		return Issued{}, fmt.Errorf("redeem a transfer code: %w: it is empty", ErrToken)
	}
	return c.forCode(ctx, "redeem a transfer code", grantTransfer, code)
}

func (c *Client) forCode(ctx context.Context, op, grant string, code secret.Text) (Issued, error) {
	q := call{
		op: op, endpoint: "mytoken_endpoint", target: c.server.MytokenEndpoint, secrets: []secret.Text{code},
	}
	q.body.put("grant_type", grant)
	q.body.secret(grant, code) // the member has the name of the grant
	a, salvaged, err := c.do(ctx, q)
	i, err := c.issued(op, a, salvaged, err)
	if err != nil && i.Update != nil { // such an answer has no used mytoken: it is the new one
		i.Token, i.Kind, i.Update = i.Update.Token, KindToken, nil
	}
	return i, err
}

// Wait polls until the person has decided, the code has expired or ctx ends. A network fault or a server error does not
// end the wait.
func (c *Client) Wait(ctx context.Context, w Consent) (i Issued, err error) {
	err = c.wait(ctx, w, func() error {
		i, err = c.Poll(ctx, w)
		return err
	})
	return i, err
}

func (c *Client) wait(ctx context.Context, w Consent, poll func() error) error {
	pause := w.Interval
	for {
		if c.opt.Now().Add(pause).After(w.Expires) {
			return fmt.Errorf("login at %s: %w", c.server.Issuer, ErrExpired)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return fmt.Errorf("login at %s: %w", c.server.Issuer, err)
		}
		err := poll()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("login at %s: %w", c.server.Issuer, ctx.Err())
		case errors.Is(err, ErrPending):
			pause = w.Interval
		case Temporary(err):
			pause = min(max(2*pause, retryAfter(err)), maxInterval)
		default:
			return err
		}
	}
}

func retryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
