package login

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// readIssuer takes the merged members of an issuer. Names that the original's manual gives and its code does not read
// are accepted beside those of the code.
func readIssuer(raw json.RawMessage) (Issuer, error) {
	r, err := newReader(raw)
	if err != nil {
		return Issuer{}, err
	}
	i := Issuer{
		URL:            cmp.Or(r.text("issuer"), r.text("issuer_url")),
		Name:           r.text("name"),
		Accounts:       r.texts("accounts"),
		DefaultAccount: r.text("default_account"),
		ConfigEndpoint: cmp.Or(r.text("config_endpoint"), r.text("configuration_endpoint")),
		DeviceEndpoint: r.text("device_authorization_endpoint"),
		CertPath:       r.text("cert_path"),
		Register:       cmp.Or(r.text("register"), r.text("manual_register")),
		Contact:        r.text("contact"),
		StorePassword:  r.bool("pw-store"),
		OAuth2:         r.bool("oauth"),
		LegacyAudience: r.bool("legacy_aud_mode"),
		PubClient:      r.client("pubclient"),
		UserClient:     r.client("user_client"),
	}
	i.AudienceStyle = r.audienceStyle(i.LegacyAudience)
	i.Accounts = slices.DeleteFunc(i.Accounts, func(name string) bool { return CheckName(name) != nil })
	if i.DefaultAccount == "" && len(i.Accounts) > 0 {
		i.DefaultAccount = i.Accounts[0]
	}
	return i, r.err
}

// reader takes members of one object and remembers the first fault.
type reader struct {
	members map[string]json.RawMessage
	err     error
}

func newReader(raw json.RawMessage) (*reader, error) {
	r := &reader{}
	if err := json.Unmarshal(raw, &r.members); err != nil {
		return nil, fmt.Errorf("is no JSON object")
	}
	return r, nil
}

func (r *reader) note(name string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("member %q: %w", name, err)
	}
}

func (r *reader) text(name string) string {
	s, err := text(orNull(r.members[name]))
	r.note(name, err)
	return s
}

func (r *reader) bool(name string) bool {
	s := r.text(name)
	return s != "" && s != "0" && s != "false"
}

// audienceStyle reads our own member of that name; the original has only legacy_aud_mode.
func (r *reader) audienceStyle(legacy bool) string {
	switch style := r.text("audience_style"); {
	case style == "" && legacy:
		return AudienceJoined
	case style == "", strings.HasPrefix(style, AudienceFixed) && len(style) > len(AudienceFixed):
		return style
	case slices.Contains([]string{
		AudienceResource, AudienceParam, AudienceJoined, AudienceRepeated, AudienceNone,
	}, style):
		return style
	}
	r.note("audience_style", errors.New("is no style that is known"))
	return ""
}

func (r *reader) texts(name string) []string {
	list, err := texts(orNull(r.members[name]))
	r.note(name, err)
	return list
}

func (r *reader) client(name string) *Client {
	raw, ok := r.members[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	in, err := newReader(raw)
	if err != nil {
		r.note(name, err)
		return nil
	}
	c := &Client{
		ID: in.text("client_id"), Secret: secret.FromString(in.text("client_secret")), Scope: in.text("scope"),
		Flows: in.texts("flow"), RedirectURIs: in.texts("redirect_uris"),
	}
	if len(c.Flows) == 0 {
		c.Flows = in.texts("flows")
	}
	r.note(name, in.err)
	if c.ID == "" {
		return nil
	}
	return c
}
