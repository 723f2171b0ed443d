package issuer

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Grant types as they appear in requests and metadata.
const (
	GrantCode        = "authorization_code"
	GrantRefresh     = "refresh_token"
	GrantClient      = "client_credentials"
	GrantDevice      = "urn:ietf:params:oauth:grant-type:device_code"
	GrantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	maxRedirectURIs  = 20
	maxRedirectURI   = 2048
	maxClientName    = 200
	maxScopeText     = 8 << 10
	maxAudienceCount = 32
)

func grantTypes() []string {
	return []string{GrantCode, GrantRefresh, GrantClient, GrantDevice, GrantExchange}
}

// Client is a registered application. Without secret and keys it is public: PKCE is required of it, and it gets no client
// credentials, token exchange or introspection.
type Client struct {
	ID     string
	Secret secret.Text
	Name   string
	// RedirectURIs are compared exactly, except that any port goes where one names http on localhost, 127.0.0.1 or
	// [::1] (RFC 8252 section 7.3).
	RedirectURIs []string
	Grants       []string // grant types it may use
	// Scope limits what it may ask for; a path scope covers those below it. Empty: everything known.
	Scope    []string
	Rotation Rotation // "": that of the issuer
	// Keys check the assertions of a client that authenticates with private_key_jwt (RFC 7523); it has no secret then.
	Keys *jose.KeySet
}

// SampleClients are the clients of the test provider, with well-known secrets.
func SampleClients() []Client {
	var loopback []string
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		for _, path := range []string{"", "/", "/redirect", "/cb"} {
			loopback = append(loopback, "http://"+host+path)
		}
	}
	web := []string{GrantCode, GrantRefresh, GrantDevice, GrantExchange}
	return []Client{
		{
			ID: "native", Name: "Native application", Grants: []string{GrantCode, GrantRefresh, GrantDevice},
			RedirectURIs: append(slices.Clone(loopback), "edu.kit.data.oidc-agent:/redirect"),
		},
		{
			ID: "web", Name: "Web application", Secret: secret.FromString("web-secret"), RedirectURIs: loopback,
			Grants: append(slices.Clone(web), GrantClient),
		},
		{
			ID: "web-norotate", Name: "Web application, refresh tokens kept", Secret: secret.FromString("web-secret"),
			RedirectURIs: loopback, Grants: web, Rotation: Off,
		},
		{
			ID: "service", Name: "Service", Secret: secret.FromString("service-secret"),
			Grants: []string{GrantClient, GrantExchange, GrantRefresh},
		},
		{ID: "rs", Name: "Resource server", Secret: secret.FromString("rs-secret")},
		{
			ID: "rucio", Name: "Rucio", Secret: secret.FromString("rucio-secret"), RedirectURIs: loopback,
			Grants: []string{GrantCode, GrantClient, GrantExchange, GrantRefresh},
		},
		{
			ID: "fts", Name: "File Transfer Service", Secret: secret.FromString("fts-secret"),
			Grants: []string{GrantClient, GrantExchange, GrantRefresh},
		},
	}
}

func (c Client) public() bool { return c.Secret.Empty() && c.Keys == nil }

func (c Client) may(grant string) bool { return slices.Contains(c.Grants, grant) }

func (c Client) check() error {
	if c.ID == "" {
		return errors.New("a client has no id")
	}
	if strings.Contains(c.ID, ":") {
		// The name part of HTTP Basic credentials ends at a colon.
		return fmt.Errorf("client %q: the id has a colon", c.ID)
	}
	if c.Keys != nil && (c.Keys.Len() == 0 || !c.Secret.Empty()) {
		return fmt.Errorf("client %q: it has to have keys or a secret", c.ID)
	}
	for _, g := range c.Grants {
		if !slices.Contains(grantTypes(), g) {
			return fmt.Errorf("client %q: unknown grant type %q", c.ID, g)
		}
	}
	if c.public() && (c.may(GrantClient) || c.may(GrantExchange)) {
		return fmt.Errorf("client %q: a client without a secret cannot have client credentials or token exchange", c.ID)
	}
	if c.Rotation != "" && !c.Rotation.valid() {
		return fmt.Errorf("client %q: rotation %q is not strict, grace or off", c.ID, c.Rotation)
	}
	return checkRedirectURIs(c.RedirectURIs)
}

func checkRedirectURIs(uris []string) error {
	if len(uris) > maxRedirectURIs {
		return fmt.Errorf("more than %d redirect URIs", maxRedirectURIs)
	}
	for _, s := range uris {
		if err := checkRedirectURI(s); err != nil {
			return err
		}
	}
	return nil
}

// checkRedirectURI accepts https anywhere, http on loopback only, and the private schemes of native applications, which
// have a dot (RFC 8252 section 7.1): that leaves out javascript:, data: and the like.
func checkRedirectURI(s string) error {
	if len(s) > maxRedirectURI {
		return errors.New("a redirect URI is too long")
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.Contains(s, "#") {
		return fmt.Errorf("redirect URI %q is not a plain absolute URI", s)
	}
	switch {
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && loopbackName(u.Hostname()):
		return nil
	case strings.Contains(u.Scheme, "."):
		return nil
	}
	return fmt.Errorf("redirect URI %q is not https, http on loopback, or a private scheme with a dot", s)
}

func loopbackName(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// redirects reports whether the client registered uri.
func (c Client) redirects(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return checkRedirectURI(uri) == nil
	}
	asked, err := url.Parse(uri)
	if err != nil || checkRedirectURI(uri) != nil {
		return false
	}
	for _, s := range c.RedirectURIs {
		if u, err := url.Parse(s); err == nil && sameButPort(u, asked) {
			return true
		}
	}
	return false
}

// sameButPort compares everything but the port, as written, for http on loopback.
func sameButPort(u, asked *url.URL) bool {
	return u.Scheme == "http" && asked.Scheme == "http" && loopbackName(u.Hostname()) &&
		u.Hostname() == asked.Hostname() && asked.User == nil &&
		u.EscapedPath() == asked.EscapedPath() && u.RawQuery == asked.RawQuery
}
