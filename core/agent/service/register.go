package service

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Grant types as registered.
const (
	grantRefresh  = "refresh_token"
	grantCode     = "authorization_code"
	grantPassword = "password"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"

	scopeMax = "max"

	// textNoRegistration is compared by the original's programs.
	textNoRegistration = "Dynamic registration is not supported by this issuer. Please register a client manually and then " +
		"run oidc-gen with the -m flag."
)

// register makes a client at the provider and answers with what the provider said. oidc-gen keeps it.
func (s *Service) register(ctx context.Context, r proto.Request) (proto.Reply, error) {
	cfg, err := parseConfig(r.Config)
	if err != nil {
		return proto.Reply{}, err
	}
	md, err := s.issuers.metadata(ctx, whereOf(cfg))
	if err != nil {
		return proto.Reply{}, err
	}
	if md.RegistrationEndpoint == "" {
		return proto.Reply{}, fail(textNoRegistration, "Or try a public client with: oidc-gen --pub "+cfg.Name)
	}
	hc, err := s.issuers.access(cfg.CertPath)
	if err != nil {
		return proto.Reply{}, err
	}
	scopes := registeredScopes(cfg, md)
	q := registration.Request{
		Name: cfg.ClientName, RedirectURIs: cfg.RedirectURIs, Scope: scopes,
		GrantTypes: grantTypes(cfg, md, r.Flow), ResponseTypes: responseTypes(r.Flow),
	}
	if len(q.RedirectURIs) == 0 {
		q.RedirectURIs = usualRedirects()
	}
	client, err := registration.Register(ctx, hc.http, md.RegistrationEndpoint, q, r.Authorization)
	if refusedScheme(err, q) {
		q.RedirectURIs = slices.DeleteFunc(q.RedirectURIs, customRedirect)
		client, err = registration.Register(ctx, hc.http, md.RegistrationEndpoint, q, r.Authorization)
	}
	if err != nil {
		return proto.Reply{}, explainRegistration(err)
	}
	rep := proto.Reply{Status: proto.StatusSuccess, Client: client.Raw, MaxScopes: joined(md.ScopesSupported)}
	return refuseWithout(rep, client, scopes, md), nil
}

// usualRedirects are for clients that name none: three loopback ports, of which the listener takes the first that is
// free, and the scheme of desktops.
func usualRedirects() []string {
	port := 20000 + rand.IntN(12000) // below the range from which Linux takes ports for outgoing connections
	return []string{
		"http://localhost:4242", fmt.Sprintf("http://localhost:%d", port), "http://localhost:8080",
		customScheme + "/redirect",
	}
}

func customRedirect(uri string) bool { return strings.HasPrefix(uri, customScheme) }

// refusedScheme reports whether a registration may have failed for the desktop's scheme, which not every provider
// takes, and for which there is more than one code.
func refusedScheme(err error, q registration.Request) bool {
	var re *registration.Error
	if !errors.As(err, &re) || !slices.ContainsFunc(q.RedirectURIs, customRedirect) {
		return false
	}
	return re.Code == "invalid_redirect_uri" || re.Code == "invalid_client_metadata" ||
		strings.Contains(strings.ToLower(re.Code+" "+re.Description), "redirect")
}

// refuseWithout turns the answer into a failure, client included, when the registration lacks a scope that every login
// needs. A registration that names no scopes at all says nothing about them.
func refuseWithout(rep proto.Reply, client registration.Client, asked []string, md *provider.Metadata) proto.Reply {
	missing := client.Missing(asked)
	if slices.Contains(missing, scopeOffline) || slices.Contains(missing, scopeOpenID) && !md.OAuth2 {
		rep.Status = proto.StatusFailure
		rep.Error = "Could not register the necessary scopes dynamically"
		rep.Info = proto.InfoText("The registered client lacks the scopes: " + joined(missing) +
			"\nChange the client at the provider, or use another one with: oidc-gen -m")
		return rep
	}
	if len(missing) > 0 {
		rep.Info = proto.InfoText("The registered client lacks the scopes: " + joined(missing))
	}
	return rep
}

func registeredScopes(cfg login.Config, md *provider.Metadata) []string {
	asked := cfg.AuthScope
	if slices.Contains(words(asked), scopeMax) {
		asked = joined(md.ScopesSupported)
	}
	return authScopes(asked, md.Issuer, cfg.OAuth2 || md.OAuth2, false)
}

// grantTypes are refresh, the interactive grant that comes first, and device, as far as the provider has them. A device
// endpoint that was given by hand counts more than what the provider says of itself.
func grantTypes(cfg login.Config, md *provider.Metadata, flows []string) []string {
	first := grantCode
	for _, f := range flows {
		if f == flowPassword {
			first = grantPassword
		}
		if f == flowPassword || f == flowCode {
			break
		}
	}
	var out []string
	for _, g := range []string{grantRefresh, first, grantDevice} {
		if supports(md.GrantTypesSupported, g) || g == grantDevice && cfg.DeviceEndpointSetByUser {
			out = append(out, g)
		}
	}
	return out
}

// responseTypes is "code" unless the first flow has no redirect.
func responseTypes(flows []string) []string {
	if len(flows) > 0 && (flows[0] == flowPassword || flows[0] == flowDevice) && !slices.Contains(flows, flowCode) {
		return nil
	}
	return []string{"code"}
}

// explainRegistration writes a refusal as the original does.
func explainRegistration(err error) error {
	var re *registration.Error
	if !errors.As(err, &re) || re.Code == "" {
		return err
	}
	text := re.Code
	if re.Description != "" {
		text += ": " + re.Description
	}
	return &problem{text: text, err: err}
}

// deleteClient removes a registration at the provider (RFC 7592 section 2.3).
func (s *Service) deleteClient(ctx context.Context, r proto.Request) (proto.Reply, error) {
	hc, err := s.issuers.access(r.CertPath)
	if err != nil {
		return proto.Reply{}, err
	}
	if r.RegistrationClientURI == "" || r.RegistrationAccessToken.Empty() {
		return proto.Reply{}, fail(proto.TextCannotDelete+"it was not registered by this program", "")
	}
	if !s.issuers.mayDelete(r.RegistrationClientURI) {
		return proto.Reply{}, fail(proto.TextCannotDelete+"its address is not one of a provider", "")
	}
	err = registration.Delete(ctx, hc.http, registration.Client{
		RegistrationURI: r.RegistrationClientURI, RegistrationToken: r.RegistrationAccessToken,
	})
	if err != nil && !registration.Gone(err) {
		p := explain(explainRegistration(err), "")
		return proto.Reply{}, &problem{text: proto.TextCannotDelete + p.text, help: p.help, err: err}
	}
	return proto.Success(""), nil
}

// knownAuthMethod is how the client authenticates by its registration; "" when the account does not say.
func knownAuthMethod(cfg login.Config) string {
	b, err := cfg.Encode()
	if err != nil {
		return ""
	}
	text := secret.New(b)
	defer text.Wipe()
	method, _ := stringMember(text, "token_endpoint_auth_method")
	switch method {
	case "client_secret_basic", "client_secret_post", "none":
		return method
	}
	return "" // chosen from the metadata then
}

func stringMember(object secret.Text, name string) (string, bool) {
	var v string
	err := object.Use(func(b []byte) error { return unmarshalMember(b, name, &v) })
	return strings.TrimSpace(v), err == nil
}
