package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// recordVersion is that of exported logins.
const recordVersion = 1

// codeRecord is what finishing a login needs.
type codeRecord struct {
	Version     int      `json:"v"`
	Issuer      string   `json:"iss"`
	Client      string   `json:"client"`
	State       string   `json:"state"`
	RedirectURI string   `json:"redirect"`
	Verifier    string   `json:"verifier"`
	Nonce       string   `json:"nonce,omitempty"`
	Audience    []string `json:"audience,omitempty"`
}

// Export returns what another process needs to finish this login: state, PKCE verifier and nonce, a few hundred bytes.
// It stays usable here as well; that it is finished once only is for whoever keeps the record. The caller wipes it.
func (l *CodeLogin) Export() (secret.Text, error) {
	if l.used.Load() {
		return secret.Text{}, fmt.Errorf("export a login: %w", ErrUsed)
	}
	return export(codeRecord{
		Version: recordVersion, Issuer: l.client.md.Issuer, Client: l.client.cc.ID, State: l.State,
		RedirectURI: l.RedirectURI, Verifier: l.verifier.Expose(), Nonce: l.nonce, Audience: l.audience,
	})
}

// ResumeCode returns a login that Export has written, perhaps in another process. The error is ErrRecord for what no
// client of this provider with this client ID has exported.
func (c *Client) ResumeCode(record secret.Text) (*CodeLogin, error) {
	var r codeRecord
	if err := resume(record, &r); err != nil {
		return nil, fmt.Errorf("resume a login: %w", err)
	}
	if r.Version != recordVersion || r.State == "" || r.Verifier == "" || !c.owns(r.Issuer, r.Client) {
		return nil, fmt.Errorf("resume a login: %w", ErrRecord)
	}
	return &CodeLogin{
		State: r.State, RedirectURI: r.RedirectURI, client: c, audience: r.Audience,
		verifier: secret.FromString(r.Verifier), nonce: r.Nonce,
	}, nil
}

// deviceRecord is what polling for a device code needs.
type deviceRecord struct {
	Version  int        `json:"v"`
	Issuer   string     `json:"iss"`
	Client   string     `json:"client"`
	Code     string     `json:"device_code"`
	Expires  time.Time  `json:"expires"`
	Audience []string   `json:"audience,omitempty"`
	Extra    url.Values `json:"extra,omitempty"`
}

// ExportDevice returns what another process needs to poll for d. The caller wipes it.
func (c *Client) ExportDevice(d Device) (secret.Text, error) {
	return export(deviceRecord{
		Version: recordVersion, Issuer: c.md.Issuer, Client: c.cc.ID, Code: d.Code.Expose(), Expires: d.Expires,
		Audience: d.audience, Extra: d.extra,
	})
}

// ResumeDevice returns a device code that ExportDevice has written, as far as PollDevice needs it. The error is
// ErrRecord as with ResumeCode.
func (c *Client) ResumeDevice(record secret.Text) (Device, error) {
	var r deviceRecord
	if err := resume(record, &r); err != nil {
		return Device{}, fmt.Errorf("resume a device login: %w", err)
	}
	if r.Version != recordVersion || r.Code == "" || !c.owns(r.Issuer, r.Client) {
		return Device{}, fmt.Errorf("resume a device login: %w", ErrRecord)
	}
	return Device{Code: secret.FromString(r.Code), Expires: r.Expires, audience: r.Audience, extra: r.Extra}, nil
}

func (c *Client) owns(issuer, client string) bool { return issuer == c.md.Issuer && client == c.cc.ID }

func export(v any) (secret.Text, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return secret.Text{}, fmt.Errorf("export a login: %w", err)
	}
	return secret.New(b), nil
}

// resume reads a record; the errors of a JSON reader may quote it, so they are not passed on.
func resume(record secret.Text, to any) error {
	err := record.Use(func(b []byte) error { return json.Unmarshal(b, to) })
	if errors.Is(err, secret.ErrWiped) {
		return err
	}
	if err != nil {
		return ErrRecord
	}
	return nil
}
