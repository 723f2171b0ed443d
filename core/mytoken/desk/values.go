package desk

import (
	"encoding/json"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Origin is where a request comes from. Its address is that of the client, behind whatever proxies.
type Origin = ledger.Origin

// Proof is what a request carries to show that it holds a key (RFC 9449).
type Proof struct {
	Headers     []string // the values of all DPoP headers
	Method, URL string   // of the request, as the client sent them
}

// Caller is who makes a request.
type Caller struct {
	// Mytoken is a JWT or a short token, empty where none came.
	Mytoken secret.Text
	Origin  Origin
	Proof   *Proof // nil: the request has no DPoP header
}

// Need is what a request needs of a mytoken.
type Need struct {
	Capability string // "": none
	// Free says that the restrictions do not matter and nothing is counted.
	Free bool
}

// Begun is the answer to a request for a mytoken by a login.
type Begun struct {
	ConsentURI  string      // where the person decides, "" when AuthorizationURI or Device is set
	PollingCode secret.Text // empty for the web flow
	Expires     time.Time
	Interval    time.Duration // between polls, whole seconds from 1 to 15
	// AuthorizationURI is where a browser is sent at once: the web flow of a page that is trusted. Binding is as in
	// Redirect.
	AuthorizationURI string
	Binding          secret.Text
	Device           *DeviceInfo
}

// DeviceInfo is what a person without a browser at hand is shown (RFC 8628 section 3.2). All of it is the provider's.
type DeviceInfo struct {
	UserCode    string
	URI         string
	URIComplete string // "" when the provider gives none
}

// Asked is a request that waits on the consent page, for showing it. Its texts are strangers'.
type Asked struct {
	Application  string
	Name         string
	Issuer       string // of the provider that was asked for
	Providers    []ProviderInfo
	Capabilities mytoken.Capabilities
	Restrictions mytoken.Restrictions // settled
	Rotation     *mytoken.Rotation
	ResponseType string
	Bound        bool   // to a key of the one who asks
	Web          bool   // the one who asks is a web page, and RedirectURI where it goes on
	RedirectURI  string // "" for the pages of the server
	Purpose      string // Purpose.Kind
	From         Origin // of the request
	Created      time.Time
	Expires      time.Time // of the request
}

// Terms are what a person agrees to on the consent page. They replace what was asked for.
type Terms struct {
	Issuer       string // of the provider; "" = the one that was asked for
	Name         string
	Capabilities mytoken.Capabilities
	Restrictions mytoken.Restrictions
	Rotation     *mytoken.Rotation
}

// Redirect is where a browser goes to log in.
type Redirect struct {
	URL string
	// Binding ties the redirect that follows to this browser: it is set as a cookie and handed to LandIn. It is empty only
	// where another site's page, which is trusted, begins the login: that cannot set a cookie of ours.
	Binding secret.Text
}

// Arrival is a browser that comes back from the provider.
type Arrival struct {
	Query   url.Values
	Binding secret.Text // of the cookie, empty for none
	From    Origin
}

// Landing is where a browser goes on after a login.
type Landing struct {
	To string // a path of the server, or the URI that the web page gave
	// Session is the mytoken, or transfer code, of the web flow, for a cookie; nil with the native flow. The caller wipes
	// it.
	Session     *Issued
	Native      bool // the program that asked fetches the mytoken; the browser is done
	Application string
	Purpose     string
}

// Purpose says what becomes of a mytoken from a login other than being handed to the one who polls. A code that was
// made for one purpose is unknown for any other.
type Purpose struct {
	Kind string          `json:"kind"` // "" for the token endpoint, "ssh" for a key
	Data json.RawMessage `json:"data,omitzero"`
}

// Login is a mytoken for a purpose, as FinishFor gives it. The caller wipes the secrets.
type Login struct {
	JWT     secret.Text
	Claims  mytoken.Claims
	User    string
	Purpose Purpose
}

// AccessRequest asks for an access token.
type AccessRequest struct {
	Issuer   string // of the provider; "" = not compared
	Scope    []string
	Audience []string
	Comment  string // kept in the history
}

// Access is an access token of the provider. The caller wipes it.
type Access struct {
	Token    secret.Text
	Type     string
	Expires  time.Time // zero: the provider does not say
	Scope    string
	Audience []string // of a token that is a JWT
	Update   *Issued  // what the mytoken that was used is from now on
	Issuer   string   // of the provider
	MOMID    string   // of the mytoken that was used
}

// Wipe clears the secrets.
func (a Access) Wipe() {
	a.Token.Wipe()
	a.Update.Wipe()
}
