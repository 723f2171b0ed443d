package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Config is an account configuration. The zero value of a field means that the member is absent or empty, which is the
// same to oidc-agent. Secrets are separate copies: Wipe when done.
type Config struct {
	Name       string // short name
	ClientName string // oidc-agent:<short name>-<host>
	Issuer     string
	MytokenURL string // set for a login at a mytoken server
	// MytokenProfile is the JSON object or string that says what mytoken to ask for; nil for none.
	MytokenProfile json.RawMessage

	ConfigEndpoint          string // discovery document, when not the usual one; may be a file: URL
	DeviceEndpoint          string
	DeviceEndpointSetByUser bool // DeviceEndpoint wins over discovery

	ClientID          string
	ClientSecret      secret.Text
	RefreshToken      secret.Text // the mytoken, for a login at a mytoken server
	RegistrationToken secret.Text // RFC 7592
	RegistrationURI   string
	CertPath          string // file of CA certificates

	Scope        string // version 4: one list for everything
	AuthScope    string // version 5: asked for when logging in; that of version 4 where absent
	RefreshScope string // version 5: asked for when refreshing
	Audience     string // separated by blanks

	OAuth2       bool // a provider without OpenID Connect
	PublicClient bool
	RedirectURIs []string

	// rest is a JSON object of the members not listed above. They may hold anything, so they are kept as a secret.
	rest secret.Text
}

// member of a JSON object, in its place.
type member struct {
	name  string
	value json.RawMessage
}

// ParseConfig reads the JSON of an account in either generation of keys. Numbers and booleans count as strings where a
// string is expected, and an empty string as absent. Members it does not know are kept for Encode. The error wraps
// ErrConfig and shows no value.
func ParseConfig(plain []byte) (Config, error) {
	members, err := readObject(plain)
	if err != nil {
		return Config{}, err
	}
	var (
		c    Config
		rest []member
	)
	for _, m := range members {
		known, err := c.take(m)
		if err != nil {
			c.Wipe()
			return Config{}, fmt.Errorf("%w: member %q: %w", ErrConfig, cutText(m.name, 40), err)
		}
		if !known {
			rest = append(rest, m)
		}
	}
	if c.AuthScope == "" {
		c.AuthScope = c.Scope
	}
	c.rest = secret.New(writeObject(rest))
	return c, nil
}

// take sets the field of a member, if there is one for it.
func (c *Config) take(m member) (known bool, err error) {
	if p := c.textField(m.name); p != nil {
		s, err := text(m.value)
		if s != "" {
			*p = s
		}
		return true, err
	}
	if p := c.boolField(m.name); p != nil {
		s, err := text(m.value)
		*p = s != "" && s != "0"
		return true, err
	}
	if p := c.secretField(m.name); p != nil {
		s, err := text(m.value)
		*p = secret.FromString(s)
		return true, err
	}
	switch m.name {
	case "issuer":
		s, err := text(m.value)
		if c.Issuer == "" {
			c.Issuer = s
		}
		return true, err
	case "redirect_uris":
		c.RedirectURIs, err = texts(m.value)
		return true, err
	case "mytoken_profile":
		c.MytokenProfile = profile(m.value)
		return true, nil
	case "username", "password":
		// Only in flight between the original's programs, never kept.
		return true, nil
	}
	return false, nil
}

func (c *Config) textField(name string) *string {
	switch name {
	case "name":
		return &c.Name
	case "client_name":
		return &c.ClientName
	case "issuer_url":
		return &c.Issuer
	case "mytoken_url":
		return &c.MytokenURL
	case "config_endpoint":
		return &c.ConfigEndpoint
	case "device_authorization_endpoint":
		return &c.DeviceEndpoint
	case "client_id":
		return &c.ClientID
	case "registration_client_uri":
		return &c.RegistrationURI
	case "cert_path":
		return &c.CertPath
	case "scope":
		return &c.Scope
	case "auth_scope":
		return &c.AuthScope
	case "refresh_scope":
		return &c.RefreshScope
	case "audience":
		return &c.Audience
	}
	return nil
}

func (c *Config) boolField(name string) *bool {
	switch name {
	case "daeSetByUser":
		return &c.DeviceEndpointSetByUser
	case "oauth":
		return &c.OAuth2
	case "uses_pub_client":
		return &c.PublicClient
	}
	return nil
}

func (c *Config) secretField(name string) *secret.Text {
	switch name {
	case "client_secret":
		return &c.ClientSecret
	case "refresh_token":
		return &c.RefreshToken
	case "registration_access_token":
		return &c.RegistrationToken
	}
	return nil
}

// Encode returns the compact JSON with its secrets, known members first, then those that were kept. The caller clears
// it.
func (c Config) Encode() ([]byte, error) {
	var out []member
	for _, name := range order() {
		v, write := c.value(name)
		if !write {
			continue
		}
		b, err := marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode the account configuration: member %q: %w", name, err)
		}
		out = append(out, member{name, b})
	}
	err := c.rest.Use(func(b []byte) error {
		if len(b) == 0 {
			return nil
		}
		rest, err := readObject(b)
		out = append(out, rest...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("encode the account configuration: %w", err)
	}
	return writeObject(out), nil
}

// WithRefreshToken returns the JSON of an account with rt in it and every other member as it was, in its place, known
// or not. The caller clears the result. The error wraps ErrConfig and shows no value.
func WithRefreshToken(plain []byte, rt secret.Text) ([]byte, error) {
	members, err := readObject(plain)
	if err != nil {
		return nil, err
	}
	value, err := marshal(rt.Expose()) // encoding/json takes nothing but a string
	if err != nil {
		return nil, fmt.Errorf("%w: the refresh token cannot be written", ErrConfig)
	}
	const name = "refresh_token"
	at := slices.IndexFunc(members, func(m member) bool { return m.name == name })
	if at < 0 {
		at, members = len(members), append(members, member{name: name})
	}
	members[at].value = value
	return writeObject(members), nil
}

// value is what Encode writes for a known member, if anything.
func (c *Config) value(name string) (v any, write bool) {
	if p := c.textField(name); p != nil {
		return *p, *p != "" || always(name)
	}
	if p := c.boolField(name); p != nil {
		return number(*p), *p || always(name)
	}
	if p := c.secretField(name); p != nil {
		// The one place where a secret becomes a string: encoding/json takes nothing else.
		return p.Expose(), !p.Empty() || always(name)
	}
	switch name {
	case "redirect_uris":
		return c.RedirectURIs, len(c.RedirectURIs) > 0
	case "mytoken_profile":
		return c.MytokenProfile, len(c.MytokenProfile) > 0
	}
	return "", true // username and password, which the original writes empty
}

// order is that of the members in the original's files.
func order() []string {
	return []string{
		"name", "client_name", "issuer_url", "mytoken_url", "config_endpoint", "device_authorization_endpoint",
		"daeSetByUser", "client_id", "client_secret", "refresh_token", "cert_path", "scope", "auth_scope", "refresh_scope",
		"audience", "oauth", "uses_pub_client", "mytoken_profile", "redirect_uris", "username", "password", "registration_access_token",
		"registration_client_uri",
	}
}

// always reports whether the original writes the member even when it is empty.
func always(name string) bool {
	switch name {
	case "name", "client_name", "issuer_url", "device_authorization_endpoint", "daeSetByUser", "client_id",
		"client_secret", "refresh_token", "cert_path", "scope", "audience":
		return true
	}
	return false
}

// Compatible returns c as it must be written for oidc-agent 4 and 5 to both read it: version 4 joins discovery paths to
// the issuer without a slash, and knows one list of scopes only. The secrets are shared with c.
func (c Config) Compatible() Config {
	if c.Issuer != "" && !strings.HasSuffix(c.Issuer, "/") {
		c.Issuer += "/"
	}
	if c.Scope == "" {
		c.Scope = c.AuthScope
	}
	if c.AuthScope == "" {
		c.AuthScope = c.Scope
	}
	c.RedirectURIs = slices.Clone(c.RedirectURIs)
	return c
}

// WithoutSecrets returns c without client secret, refresh token, registration token and the members it does not know.
func (c Config) WithoutSecrets() Config {
	none := secret.Text{}
	c.ClientSecret, c.RefreshToken, c.RegistrationToken, c.rest = none, none, none, none
	c.RedirectURIs = slices.Clone(c.RedirectURIs)
	return c
}

// Wipe overwrites the secrets of c and of every copy of it.
func (c Config) Wipe() {
	c.ClientSecret.Wipe()
	c.RefreshToken.Wipe()
	c.RegistrationToken.Wipe()
	c.rest.Wipe()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// text reads a value by the original's rule: numbers and booleans are strings too.
func text(v json.RawMessage) (string, error) {
	switch {
	case len(v) == 0:
		return "", errors.New("no value")
	case v[0] == '"':
		var s string
		err := json.Unmarshal(v, &s)
		return s, err
	case v[0] == '{' || v[0] == '[':
		return "", errors.New("is not a string")
	}
	switch s := string(v); s {
	case "null":
		return "", nil
	case "true":
		return "1", nil
	case "false":
		return "0", nil
	default:
		return s, nil
	}
}

// profile keeps the profile of a mytoken as it is; an empty one is none.
func profile(v json.RawMessage) json.RawMessage {
	switch string(bytes.TrimSpace(v)) {
	case "", "null", "{}", `""`:
		return nil
	}
	return bytes.Clone(v)
}

// texts reads a list of strings, or one string with blanks between.
func texts(v json.RawMessage) ([]string, error) {
	if len(v) == 0 || v[0] != '[' {
		s, err := text(v)
		return strings.Fields(s), err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(v, &raw); err != nil {
		return nil, err
	}
	var list []string
	for _, r := range raw {
		s, err := text(r)
		if err != nil {
			return nil, err
		}
		if s != "" {
			list = append(list, s)
		}
	}
	return list, nil
}

// readObject takes one JSON object apart, in order. A member that comes twice with different values is a fault: readers
// would differ in which one they take. Twice with the same value counts once: oidc-gen 4 writes "audience" so when it
// has registered the client.
func readObject(b []byte) ([]member, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%w: %w", ErrConfig, ErrTooLarge)
	}
	// The original's old versions counted the terminating NUL into what they encrypted.
	b = bytes.TrimRight(b, "\x00")
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: no JSON object", ErrConfig)
	}
	var members []member
	seen := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: broken JSON", ErrConfig)
		}
		m := member{name: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("%w: broken JSON", ErrConfig)
		}
		if first, there := seen[name]; there {
			if !bytes.Equal(first, m.value) {
				return nil, fmt.Errorf("%w: member %q comes twice", ErrConfig, cutText(name, 40))
			}
			continue
		}
		seen[name] = m.value
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: broken JSON", ErrConfig)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one JSON value", ErrConfig)
	}
	return members, nil
}

func writeObject(members []member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := marshal(m.name)
		if err != nil {
			panic("login: a name that cannot be encoded: " + err.Error())
		}
		b = append(b, name...)
		b = append(b, ':')
		var flat bytes.Buffer
		if err := json.Compact(&flat, m.value); err != nil {
			panic("login: a value that was read is no JSON: " + err.Error())
		}
		b = append(b, flat.Bytes()...)
	}
	return append(b, '}')
}

// marshal is json.Marshal that leaves <, > and & as they are, as the original does.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
