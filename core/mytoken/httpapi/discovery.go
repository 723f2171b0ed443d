package httpapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Places of the documents.
const (
	pathConfiguration = "/.well-known/mytoken-configuration"
	pathOpenID        = "/.well-known/openid-configuration"
	pathMetadata      = "/.well-known/oauth-authorization-server" // RFC 8414
	pathJWKS          = "/jwks"
)

// Places of the API.
const (
	pathAccess        = pathV0 + "/token/access"
	pathMytoken       = pathV0 + "/token/my"
	pathTags          = pathMytoken + "/tags"
	pathTransfer      = pathV0 + "/token/transfer"
	pathRevoke        = pathV0 + "/token/revoke"
	pathInfo          = pathV0 + "/tokeninfo"
	pathSettings      = pathV0 + "/settings"
	pathNotifications = pathV0 + "/notifications"
	pathTemplates     = pathV0 + "/pt"
	pathCapabilities  = pathV0 + "/capabilities"
	// Of the standards: what they want answered otherwise than the API does.
	pathIntrospection = pathV0 + "/oauth/introspect"
	pathRevocation    = pathV0 + "/oauth/revoke"
)

func (a *API) discoveryRoutes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: pathConfiguration, Page: a.document(func() any { return a.configuration() })},
		{Method: http.MethodGet, Path: pathOpenID, Page: a.document(func() any { return a.configuration() })},
		{Method: http.MethodGet, Path: pathMetadata, Page: a.document(func() any { return a.metadata() })},
		{Method: http.MethodGet, Path: pathJWKS, Page: a.document(func() any { return a.o.Keys() })},
		{Method: http.MethodGet, Path: pathSettings, API: a.settingsPlaces},
		{Method: http.MethodGet, Path: pathCapabilities, API: a.capabilities},
	}
}

// documentLife is how long a document may be kept by who fetched it: a signing key is published before it signs.
const documentLife = "public, max-age=300"

func (a *API) document(make func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := encode(make(), nil)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", typeJSON)
		h.Set("Cache-Control", documentLife)
		_, _ = w.Write(b)
	})
}

// configuration is what the server says of itself to clients of the API.
type configuration struct {
	Issuer                string     `json:"issuer"`
	AccessTokenEndpoint   string     `json:"access_token_endpoint"`
	TokenEndpoint         string     `json:"token_endpoint"`
	MytokenEndpoint       string     `json:"mytoken_endpoint"`
	TokeninfoEndpoint     string     `json:"tokeninfo_endpoint,omitempty"`
	RevocationEndpoint    string     `json:"revocation_endpoint,omitempty"`
	SettingsEndpoint      string     `json:"usersettings_endpoint"`
	NotificationsEndpoint string     `json:"notifications_endpoint,omitempty"`
	TransferEndpoint      string     `json:"token_transfer_endpoint,omitempty"`
	ProfilesEndpoint      string     `json:"profiles_endpoint,omitempty"`
	JWKSURI               string     `json:"jwks_uri"`
	SSHKeys               []HostKey  `json:"ssh_keys,omitempty"`
	Providers             []provider `json:"providers_supported"`
	SigningAlg            jose.Alg   `json:"token_signing_alg_value"`
	TokeninfoActions      []string   `json:"tokeninfo_endpoint_actions_supported,omitempty"`
	AccessGrants          []string   `json:"access_token_endpoint_grant_types_supported"`
	MytokenGrants         []string   `json:"mytoken_endpoint_grant_types_supported"`
	Flows                 []string   `json:"mytoken_endpoint_oidc_flows_supported"`
	ResponseTypes         []string   `json:"response_types_supported"`
	RestrictionClaims     []string   `json:"restriction_claims_supported"`
	Documentation         string     `json:"service_documentation,omitempty"`
	Version               string     `json:"version"`
}

type provider struct {
	Issuer string   `json:"issuer"`
	Name   string   `json:"name,omitempty"`
	Scopes []string `json:"scopes_supported"`
}

func (a *API) url(path string) string { return a.base + path }

func (a *API) urlIf(on bool, path string) string {
	if !on {
		return ""
	}
	return a.url(path)
}

func (a *API) configuration() configuration {
	f := a.o.Features
	actions := pick(
		word{f.Introspect, actionIntrospect}, word{f.History, actionHistory}, word{f.Tree, actionTree}, word{
			f.List,
			actionList,
		})
	out := configuration{
		Issuer: a.o.Issuer, AccessTokenEndpoint: a.url(pathAccess), TokenEndpoint: a.url(pathAccess),
		MytokenEndpoint: a.url(pathMytoken), TokeninfoEndpoint: a.urlIf(len(actions) > 0, pathInfo),
		RevocationEndpoint: a.urlIf(f.Revocation, pathRevoke), SettingsEndpoint: a.url(pathSettings),
		NotificationsEndpoint: a.urlIf(f.Notifications, pathNotifications),
		TransferEndpoint:      a.urlIf(f.Transfer, pathTransfer), ProfilesEndpoint: a.urlIf(f.Templates &&
			a.o.Templates != nil, pathTemplates),
		JWKSURI: a.url(pathJWKS), Providers: providers(a.o.Desk.Providers()), SigningAlg: a.o.Alg, TokeninfoActions: actions,
		AccessGrants: []string{grantMytoken},
		MytokenGrants: pick(word{true, grantOIDC}, word{f.Subtokens, grantMytoken}, word{f.Transfer, grantTransfer},
			word{f.Polling, grantPolling}, word{f.SSH, mytoken.GrantSSH}),
		Flows: pick(word{true, "authorization_code"}, word{f.Device, flowDevice}),
		ResponseTypes: pick(word{true, mytoken.KindToken}, word{f.Short, mytoken.KindShortToken},
			word{f.Transfer, mytoken.KindTransferCode}),
		RestrictionClaims: a.claims(), Documentation: a.o.Documentation, Version: cmp.Or(a.o.Version, "0"),
	}
	if f.SSH {
		out.SSHKeys = a.o.SSHKeys
	}
	return out
}

func (a *API) claims() []string {
	return slices.DeleteFunc(rules.Keys(), func(k string) bool { return slices.Contains(a.o.Features.Unsupported, k) })
}

func providers(all []desk.ProviderInfo) []provider {
	out := make([]provider, 0, len(all))
	for _, p := range all {
		out = append(out, provider{Issuer: p.Issuer, Name: p.Name, Scopes: append([]string{}, p.Scopes...)})
	}
	return out
}

type word struct {
	on   bool
	text string
}

// pick returns the words that are on.
func pick(words ...word) []string {
	out := []string{}
	for _, w := range words {
		if w.on {
			out = append(out, w.text)
		}
	}
	return out
}

// metadata is what the server says of itself to clients of the standards (RFC 8414).
type metadata struct {
	Issuer            string   `json:"issuer"`
	TokenEndpoint     string   `json:"token_endpoint"`
	JWKSURI           string   `json:"jwks_uri"`
	ResponseTypes     []string `json:"response_types_supported"`
	GrantTypes        []string `json:"grant_types_supported"`
	TokenAuth         []string `json:"token_endpoint_auth_methods_supported"`
	Revocation        string   `json:"revocation_endpoint,omitempty"`
	RevocationAuth    []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	Introspection     string   `json:"introspection_endpoint,omitempty"`
	IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	DPoP              []string `json:"dpop_signing_alg_values_supported,omitempty"`
	Documentation     string   `json:"service_documentation,omitempty"`
}

func (a *API) metadata() metadata {
	f := a.o.Features
	out := metadata{
		Issuer: a.o.Issuer, TokenEndpoint: a.url(pathAccess), JWKSURI: a.url(pathJWKS),
		ResponseTypes: []string{}, // there is no authorization endpoint: people are sent to the provider
		GrantTypes:    pick(word{true, grantRefresh}, word{!f.NoExchange, grantExchange}),
		TokenAuth:     []string{"none"}, Revocation: a.urlIf(f.Revocation, pathRevocation),
		Introspection: a.urlIf(f.Introspect, pathIntrospection), Documentation: a.o.Documentation,
	}
	if f.Revocation {
		out.RevocationAuth = []string{"none"}
	}
	if f.Introspect {
		out.IntrospectionAuth = pick(word{len(a.o.Clients) > 0, "client_secret_basic"}, word{true, "Bearer"})
	}
	if a.o.DPoP {
		for _, alg := range jose.Algs() {
			out.DPoP = append(out.DPoP, string(alg))
		}
	}
	return out
}

// settingsPlaces tells where settings are. Every command of the original's client asks for it.
func (a *API) settingsPlaces(*Call) (Answer, error) {
	return Answer{Body: struct {
		Grants string `json:"grant_type_endpoint"`
		Email  string `json:"email_endpoint"`
		Tags   string `json:"tags_endpoint"`
	}{a.url(pathGrants), a.url(pathEmail), a.url(pathTagList)}}, nil
}

// capability is one that the server knows, with those that are parts of it.
type capability struct {
	Full     capabilityName  `json:"read_write_capability"`
	ReadOnly *capabilityName `json:"read_only_capability,omitempty"`
	Children []capability    `json:"children,omitempty"`
}

type capabilityName struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

func (a *API) capabilities(*Call) (Answer, error) {
	tree, _ := capabilityTree("", rules.KnownCapabilities())
	return Answer{Body: tree}, nil
}

// capabilityTree takes from the front of all what is a part of parent.
func capabilityTree(parent string, all []rules.Capability) (tree []capability, rest []rules.Capability) {
	for len(all) > 0 && (parent == "" || strings.HasPrefix(all[0].Name, parent+":")) {
		one := all[0]
		c := capability{Full: capabilityName{one.Name, one.Description}}
		if one.ReadOnly {
			c.ReadOnly = &capabilityName{rules.ReadOnly + one.Name, "read only: " + one.Description}
		}
		c.Children, all = capabilityTree(one.Name, all[1:])
		tree = append(tree, c)
	}
	return tree, all
}
