package provider

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of a discovery document; httpc limits its bytes.
const (
	maxDocument  = 1 << 20
	maxDepth     = 16
	maxMembers   = 2000
	schemeSecure = "https"
)

// Metadata is a discovery document (OpenID Connect Discovery section 3, RFC 8414 section 2). What the document does not
// have is empty.
type Metadata struct {
	Issuer                      string
	AuthorizationEndpoint       string
	TokenEndpoint               string
	JWKSURI                     string
	RegistrationEndpoint        string
	DeviceAuthorizationEndpoint string
	RevocationEndpoint          string
	IntrospectionEndpoint       string
	UserinfoEndpoint            string
	EndSessionEndpoint          string
	PushedEndpoint              string // pushed_authorization_request_endpoint (RFC 9126)

	ScopesSupported        []string
	GrantTypesSupported    []string
	ResponseTypesSupported []string
	CodeChallengeMethods   []string
	TokenAuthMethods       []string
	IDTokenAlgs            []string

	ResponseIssSupported bool   // RFC 9207: answers to the redirect carry iss
	RequirePushed        bool   // RFC 9126: authorization requests that were not pushed are refused
	OAuth2               bool   // found by RFC 8414 only: there may be no ID tokens
	Raw                  []byte // the document as it came
}

// Parse reads a discovery document. It is strict JSON; issuer is required; the endpoints of an https issuer have to be
// https as well. The lists may be single strings, and what is null counts as absent.
func Parse(b []byte) (*Metadata, error) {
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%w: %w", ErrMetadata, jose.ErrTooLarge)
	}
	o, err := jose.StrictObject(b, maxDepth, maxMembers)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	o = o.WithoutNull()
	md := &Metadata{Raw: append([]byte(nil), b...)}
	for _, f := range md.texts() {
		if *f.to, err = o.String(f.name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
		}
	}
	for _, f := range md.lists() {
		if *f.to, err = o.OneOrMore(f.name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
		}
	}
	for _, f := range md.flags() {
		if *f.to, err = o.Bool(f.name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
		}
	}
	if err := md.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	return md, nil
}

type text struct {
	name string
	to   *string
}

func (md *Metadata) texts() []text {
	return append([]text{{"issuer", &md.Issuer}}, md.endpoints()...)
}

func (md *Metadata) endpoints() []text {
	return []text{
		{"authorization_endpoint", &md.AuthorizationEndpoint},
		{"token_endpoint", &md.TokenEndpoint},
		{"jwks_uri", &md.JWKSURI},
		{"registration_endpoint", &md.RegistrationEndpoint},
		{"device_authorization_endpoint", &md.DeviceAuthorizationEndpoint},
		{"revocation_endpoint", &md.RevocationEndpoint},
		{"introspection_endpoint", &md.IntrospectionEndpoint},
		{"userinfo_endpoint", &md.UserinfoEndpoint},
		{"end_session_endpoint", &md.EndSessionEndpoint},
		{"pushed_authorization_request_endpoint", &md.PushedEndpoint},
	}
}

type flag struct {
	name string
	to   *bool
}

func (md *Metadata) flags() []flag {
	return []flag{
		{"authorization_response_iss_parameter_supported", &md.ResponseIssSupported},
		{"require_pushed_authorization_requests", &md.RequirePushed},
	}
}

type list struct {
	name string
	to   *[]string
}

func (md *Metadata) lists() []list {
	return []list{
		{"scopes_supported", &md.ScopesSupported},
		{"grant_types_supported", &md.GrantTypesSupported},
		{"response_types_supported", &md.ResponseTypesSupported},
		{"code_challenge_methods_supported", &md.CodeChallengeMethods},
		{"token_endpoint_auth_methods_supported", &md.TokenAuthMethods},
		{"id_token_signing_alg_values_supported", &md.IDTokenAlgs},
	}
}

// check refuses a document that would send us, or a token, from https to something weaker.
func (md *Metadata) check() error {
	issuer, err := issuerURL(md.Issuer)
	if err != nil {
		return err
	}
	for _, f := range md.endpoints() {
		if *f.to == "" {
			continue
		}
		u, err := url.Parse(*f.to)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
			return fmt.Errorf("%s is not an absolute URL without user name and fragment", f.name)
		}
		if issuer.Scheme == schemeSecure && u.Scheme != schemeSecure {
			return fmt.Errorf("%s is not https", f.name)
		}
	}
	return nil
}

// CheckIssuer reports whether s can be an issuer: an https URL (or http, which httpc allows to this machine only)
// without query, fragment and user name. The error is ErrIssuerURL.
func CheckIssuer(s string) error {
	_, err := issuerURL(s)
	return err
}

func issuerURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil && !strings.Contains(s, "://"): // 127.0.0.1:8080
		return nil, fmt.Errorf("%w: it does not begin with https://", ErrIssuerURL)
	case err != nil:
		return nil, fmt.Errorf("%w: it cannot be parsed", ErrIssuerURL)
	case u.Scheme != schemeSecure && u.Scheme != "http":
		return nil, fmt.Errorf("%w: it does not begin with https://", ErrIssuerURL)
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%w: it has no host", ErrIssuerURL)
	case u.User != nil || strings.ContainsAny(s, "?#"):
		return nil, fmt.Errorf("%w: it has a query, a fragment or a user name", ErrIssuerURL)
	}
	return u, nil
}
