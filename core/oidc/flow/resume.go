package flow

import (
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// CodeResume is what finishing a login needs that StartCode has begun, perhaps in another process: the values with
// which it was begun.
type CodeResume struct {
	RedirectURI string
	State       string
	Nonce       string // "" = none was sent
	Verifier    secret.Text
	Audience    []string
}

// ResumeCode returns a login that was begun with these values. That it is finished once only is for whoever keeps them:
// a redirect that comes twice is caught by the CodeLogin it came to first, and otherwise by the provider.
func (c *Client) ResumeCode(r CodeResume) *CodeLogin {
	return &CodeLogin{
		State: r.State, RedirectURI: r.RedirectURI, client: c, audience: r.Audience, verifier: r.Verifier.Clone(),
		nonce: r.Nonce,
	}
}

// DeviceResume is what polling for a device code needs.
type DeviceResume struct {
	Code     secret.Text
	Audience []string
	Extra    url.Values
	Expires  time.Time
}

// ResumeDevice returns a device code as far as PollDevice needs it.
func (c *Client) ResumeDevice(r DeviceResume) Device {
	return Device{Code: r.Code, Expires: r.Expires, audience: r.Audience, extra: r.Extra}
}
