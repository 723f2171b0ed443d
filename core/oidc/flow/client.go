package flow

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// AssertionAudience is for whom the assertions of private_key_jwt are meant.
type AssertionAudience string

const (
	// ForIssuer is the issuer. It is the default: an assertion that another provider has talked us into making cannot be
	// passed on, wherever that one says its endpoints are.
	ForIssuer AssertionAudience = "issuer"
	// ForTokenEndpoint is the URL of the token endpoint (OpenID Connect Core 9), for providers that take nothing else.
	ForTokenEndpoint AssertionAudience = "token_endpoint"
)

// Pushing says when the parameters of an authorization request are sent to the provider first, and the browser carries
// only a reference to them (RFC 9126).
type Pushing string

const (
	// PushRequired does it at providers that require it. It is the default.
	PushRequired Pushing = "required"
	// PushOffered does it wherever the metadata have an endpoint for it.
	PushOffered Pushing = "offered"
)

// ClientConfig is one client registration.
type ClientConfig struct {
	ID         string
	Secret     secret.Text
	AuthMethod string // of RFC 7591 token_endpoint_auth_method; "" = chosen from the metadata, none without a secret
	OAuth2     bool   // plain OAuth 2.0: no ID token is asked for or read
	Public     bool   // a registration that many people share; its secret, if any, goes into the body beside the ID
	// Key signs the assertions of private_key_jwt (RFC 7523); nil: that method is not available.
	Key       *jose.PrivateKey
	Assertion AssertionAudience // "" = ForIssuer
}

// KeySource gives the keys with which an issuer may have signed.
type KeySource interface {
	Candidates(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error)
}

// Request names, handed to Options.Extra. They are those of oidc-agent's custom parameters where it has one.
const (
	RequestRefresh     = "refresh"
	RequestAuthURL     = "auth_url"
	RequestCode        = "code-exchange"
	RequestDevice      = "device-init"
	RequestDevicePoll  = "device-polling"
	RequestPassword    = "password"
	RequestCredentials = "client-credentials"
	RequestExchange    = "exchange"
	RequestRevocation  = "revocation"
	RequestPush        = "pushed-authorization"
)

// Options of a Client. The zero value is usable; without Keys no ID token is believed, so no subject is known.
type Options struct {
	Keys     KeySource
	Now      func() time.Time
	Audience AudienceStyle
	Push     Pushing
	Extra    func(request string) url.Values // more parameters; they never replace one the request has
}

// Client runs the grants of one client at one provider. It is safe for concurrent use.
type Client struct {
	http  *httpc.Client
	md    *provider.Metadata
	cc    ClientConfig
	opt   Options
	sleep func(ctx context.Context, d time.Duration) error
}

// New returns a client. It sends nothing.
func New(hc *httpc.Client, md *provider.Metadata, cc ClientConfig, o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{http: hc, md: md, cc: cc, opt: o, sleep: sleep}
}

// Request narrows what is asked for. The zero value asks for what the grant already has.
type Request struct {
	Scope    []string
	Audience []string
	Resource []string   // sent as resource parameters whatever the style of the audience; absolute URIs
	Extra    url.Values // more parameters; they never replace one the request has
	// Keep is called by Refresh with a refresh token in the answer as soon as that was read: the check of the ID token
	// beside it may have to fetch keys, and whoever dies meanwhile must not lose it. It is called at most once, before
	// Refresh returns. The token is wiped with Tokens: keep a clone.
	Keep func(fresh secret.Text)
	// Repeat says of a Refresh that it does no harm when the provider sees it twice, because it keeps refresh tokens: it
	// may go over a connection that was used before.
	Repeat bool
}

// Tokens is a successful answer of the token endpoint.
//
// Refresh may be set although an error is returned beside it: the provider may have rotated the old one away, so it
// must be kept even when the rest of the answer is useless.
type Tokens struct {
	Access     secret.Text
	Refresh    secret.Text // empty: the answer has none, the old one goes on
	ID         secret.Text // empty unless it passed every check
	IDError    error       // why an ID token in the answer to a refresh was not believed
	Type       string      // always "Bearer", whatever case the provider used; "" when Access is empty
	Expires    time.Time   // zero when neither the provider nor the token says
	Scope      string      // "" when the answer has none: as asked for
	IssuedType string      // RFC 8693 issued_token_type
	Subject    string      // sub of the ID token
}

// Wipe clears all tokens.
func (t Tokens) Wipe() {
	t.Access.Wipe()
	t.Refresh.Wipe()
	t.ID.Wipe()
}

// endpoint returns an endpoint of the metadata. A provider that is reached by https does not send us to plain http,
// wherever that leads.
func (c *Client) endpoint(name, target string) (string, error) {
	if target == "" {
		return "", fmt.Errorf("%s: %w: no %s in its metadata", c.md.Issuer, ErrNoEndpoint, name)
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%s of %s: %w: not a URL", name, c.md.Issuer, ErrNoEndpoint)
	}
	iss, err := url.Parse(c.md.Issuer)
	if err == nil && iss.Scheme == "https" && u.Scheme != "https" {
		return "", fmt.Errorf("%s of %s: %w", name, c.md.Issuer, httpc.ErrInsecure)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%s of %s: %w", name, c.md.Issuer, httpc.ErrInsecure)
	}
	return target, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
