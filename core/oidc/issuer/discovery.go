package issuer

import (
	"net/http"
	"slices"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// metadata is the document of OpenID Connect Discovery section 3 and RFC 8414 section 2.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	PushedEndpoint        string   `json:"pushed_authorization_request_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	Grants                []string `json:"grant_types_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	Challenges            []string `json:"code_challenge_methods_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	Claims                []string `json:"claims_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	ResponseIss           bool     `json:"authorization_response_iss_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) error {
	secretAuth := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	anyAuth := append(slices.Clone(secretAuth), "none")
	var algs []string
	for _, a := range jose.Algs() {
		algs = append(algs, string(a))
	}
	w.Header().Set("Cache-Control", "max-age=60")
	return httpd.WriteJSON(w, http.StatusOK, metadata{
		Issuer:                i.o.URL,
		AuthorizationEndpoint: i.endpoint("/authorize"),
		TokenEndpoint:         i.endpoint("/token"),
		JWKSURI:               i.endpoint("/jwks"),
		RegistrationEndpoint:  i.endpoint("/register"),
		DeviceEndpoint:        i.endpoint("/device_authorization"),
		PushedEndpoint:        i.endpoint("/par"),
		IntrospectionEndpoint: i.endpoint("/introspect"),
		RevocationEndpoint:    i.endpoint("/revoke"),
		UserinfoEndpoint:      i.endpoint("/userinfo"),
		Scopes:                i.supportedScopes(),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		Grants:                grantTypes(),
		TokenAuth:             anyAuth,
		TokenAuthAlgs:         algs,
		IntrospectionAuth:     secretAuth,
		RevocationAuth:        anyAuth,
		Challenges:            []string{"S256"},
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           []string{string(i.o.Alg)},
		Claims: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "name", "preferred_username", "email",
			"eduperson_assurance", "eduperson_entitlement", "entitlements", "wlcg.ver", "wlcg.groups",
		},
		Prompts:     []string{"none", "login", "consent", "select_account"},
		ResponseIss: true,
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "max-age=60")
	return httpd.WriteJSON(w, http.StatusOK, i.ring.public())
}

// supportedScopes shows path scopes with the whole tree, as IAM does.
func (i *Issuer) supportedScopes() []string {
	out := append(plainScopes(), i.o.Scopes...)
	for _, s := range pathScopes() {
		out = append(out, s+":/")
	}
	return out
}
