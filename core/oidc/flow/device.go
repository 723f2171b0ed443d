package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Times of RFC 8628 and bounds for what a provider says instead.
const (
	defaultInterval = 5 * time.Second // 3.2: when the answer has none
	slowDownStep    = 5 * time.Second // 3.5
	minInterval     = time.Second
	maxInterval     = 5 * time.Minute
	maxBackoff      = time.Minute
	defaultCodeLife = 10 * time.Minute
	maxCodeLife     = 24 * time.Hour

	maxUserCode = 64
	maxShownURL = 2048
)

// Device is a device code that waits for a person. The texts are safe to print.
type Device struct {
	Code        secret.Text
	UserCode    string
	URI         string // where the person goes
	URIComplete string // the same with the code in it; "" when the provider gives none
	Expires     time.Time
	Interval    time.Duration // between polls

	audience []string
	extra    url.Values
}

// StartDevice asks for a device code (RFC 8628 3.1).
func (c *Client) StartDevice(ctx context.Context, r Request) (Device, error) {
	form, err := c.grantForm("", r)
	if err != nil {
		return Device{}, fmt.Errorf("device login: %w", err)
	}
	form.Del("grant_type")
	form.Set("client_id", c.cc.ID) // also beside basic authentication: INDIGO IAM reads it from here only
	asked := c.opt.Now()
	o, err := c.postObject(ctx, call{
		op: "device login", request: RequestDevice, form: form, extra: r.Extra,
		endpoint: "device_authorization_endpoint", target: c.md.DeviceAuthorizationEndpoint,
	})
	if err != nil {
		return Device{}, err
	}
	d, err := readDevice(o, asked)
	if err != nil {
		return Device{}, &Error{Op: "device login", Issuer: c.md.Issuer, Status: 200, Err: err}
	}
	d.audience, d.extra = r.Audience, r.Extra
	return d, nil
}

func readDevice(o jose.Object, asked time.Time) (Device, error) {
	text := func(name string) string { s, _ := o.String(name); return s }
	d := Device{
		UserCode:    text("user_code"),
		URI:         cmp.Or(text("verification_uri"), text("verification_url")), // Google's name
		URIComplete: cmp.Or(text("verification_uri_complete"), text("verification_url_complete")),
	}
	code := text("device_code")
	switch {
	case code == "":
		return Device{}, fmt.Errorf("%w: no device_code in it", ErrAnswer)
	case d.UserCode == "" || len(d.UserCode) > maxUserCode || !printable(d.UserCode):
		return Device{}, fmt.Errorf("%w: user_code is missing or cannot be shown", ErrAnswer)
	case !showableURL(d.URI):
		return Device{}, fmt.Errorf("%w: verification_uri is missing or cannot be shown", ErrAnswer)
	}
	if !showableURL(d.URIComplete) {
		d.URIComplete = "" // optional: the person types the code
	}
	d.Code = secret.FromString(code)
	life, ok := lifetime(o, "expires_in")
	if !ok {
		life = defaultCodeLife
	}
	d.Expires = asked.Add(min(life, maxCodeLife))
	d.Interval = defaultInterval
	if every, ok := lifetime(o, "interval"); ok {
		d.Interval = min(max(every, minInterval), maxInterval)
	}
	return d, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

// showableURL keeps what a person is told to open to web addresses.
func showableURL(s string) bool {
	if s == "" || len(s) > maxShownURL || !printable(s) || strings.Contains(s, " ") {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// PollDevice asks once whether the person has decided (RFC 8628 3.4). The caller keeps the interval. The errors on the
// way are ErrAuthorizationPending and ErrSlowDown; at the end ErrAccessDenied and ErrExpiredCode.
func (c *Client) PollDevice(ctx context.Context, d Device) (Tokens, error) {
	form, err := c.grantForm("urn:ietf:params:oauth:grant-type:device_code", Request{Audience: d.audience})
	if err != nil {
		return Tokens{}, fmt.Errorf("device poll: %w", err)
	}
	form.Set("device_code", d.Code.Expose())
	t, id, err := c.token(ctx, call{op: "device poll", request: RequestDevicePoll, form: form, extra: d.extra})
	if err != nil {
		return t, err
	}
	return c.loggedIn(ctx, t, idCheck{raw: id})
}

// WaitDevice polls until the person has decided, the code has expired or ctx ends.
//
// slow_down makes the interval 5 s longer for good; a network fault or a server error doubles the pause up to a minute
// (RFC 8628 3.5) and never ends the wait.
func (c *Client) WaitDevice(ctx context.Context, d Device) (Tokens, error) {
	interval, backoff := d.Interval, time.Duration(0)
	for {
		pause := max(interval, backoff)
		if c.opt.Now().Add(pause).After(d.Expires) {
			return Tokens{}, fmt.Errorf("device login at %s: %w", c.md.Issuer, ErrExpiredCode)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return Tokens{}, fmt.Errorf("device login at %s: %w", c.md.Issuer, err)
		}
		t, err := c.PollDevice(ctx, d)
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			return t, fmt.Errorf("device login at %s: %w", c.md.Issuer, ctx.Err())
		case errors.Is(err, ErrIDToken): // the code is used up, even where the keys were only out of reach
			return t, err
		case errors.Is(err, ErrSlowDown):
			interval, backoff = min(interval+slowDownStep, maxInterval), 0
		case errors.Is(err, ErrAuthorizationPending):
			backoff = 0
		case Temporary(err):
			backoff = min(max(2*pause, RetryAfter(err)), max(maxBackoff, interval))
		default:
			return t, err
		}
	}
}
