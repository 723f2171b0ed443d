package flow

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// AudienceStyle is how a provider wants to hear for whom a token is meant.
type AudienceStyle string

const (
	// AudienceResource sends one resource parameter for each value (RFC 8707). It is the default. What is no absolute
	// URI goes as an audience parameter: as a resource a provider may ignore or misread it.
	AudienceResource AudienceStyle = "resource"
	// AudienceParam sends one audience parameter for each value (RFC 8693 2.1, WLCG profile).
	AudienceParam AudienceStyle = "audience"
	// AudienceRepeated is AudienceParam, by the name it has where the two are told apart.
	AudienceRepeated AudienceStyle = "audience-repeated"
	// AudienceJoined sends one audience parameter with all values, blank between them, as oidc-agent's legacy mode.
	AudienceJoined AudienceStyle = "audience-joined"
	// AudienceNone is for providers that have no way; asking for an audience is an error then, because the answer would
	// be a token for everybody.
	AudienceNone AudienceStyle = "none"
	// AudienceFixed is a prefix. The rest is the one audience that the provider knows: it is sent with every request that
	// can have one, and asking for another is an error.
	AudienceFixed AudienceStyle = "fixed:"
)

// audience adds the values to form, or refuses with ErrAudience.
func (c *Client) audience(form url.Values, values []string) error {
	style := c.opt.Audience
	fixed, isFixed := strings.CutPrefix(string(style), string(AudienceFixed))
	if len(values) == 0 && !isFixed {
		return nil
	}
	for _, v := range values {
		if v == "" || strings.ContainsAny(v, " \t\r\n") {
			return fmt.Errorf("%w: %q is not one value", ErrAudience, v)
		}
	}
	switch {
	case isFixed:
		return c.fixedAudience(form, values, fixed)
	case style == AudienceResource, style == "":
		for _, v := range values {
			name := "resource"
			if !IsResource(v) {
				name = "audience"
			}
			form.Add(name, v)
		}
	case style == AudienceParam, style == AudienceRepeated:
		form["audience"] = values
	case style == AudienceJoined:
		form.Set("audience", strings.Join(values, " "))
	default:
		return fmt.Errorf("%w: %s takes none", ErrAudience, c.md.Issuer)
	}
	return nil
}

func (c *Client) fixedAudience(form url.Values, values []string, fixed string) error {
	if fixed == "" || slices.ContainsFunc(values, func(v string) bool { return v != fixed }) {
		return fmt.Errorf("%w: %s gives tokens for %q only", ErrAudience, c.md.Issuer, fixed)
	}
	form.Set("audience", fixed)
	return nil
}

// resources adds values that were asked for as resources and as nothing else (RFC 8707, RFC 8693 2.1).
func resources(form url.Values, values []string) error {
	for _, v := range values {
		if !IsResource(v) {
			return fmt.Errorf("%w: %q is not an absolute URI, which a resource has to be", ErrAudience, v)
		}
		if !slices.Contains(form["resource"], v) {
			form.Add("resource", v)
		}
	}
	return nil
}

// IsResource reports whether v can be sent as a resource: an absolute URI without fragment (RFC 8707 2). A host with a
// port is none, which a parser takes for a scheme and a rest.
func IsResource(v string) bool {
	u, err := url.Parse(v)
	if err != nil || !u.IsAbs() || strings.Contains(v, "#") {
		return false
	}
	port, _, _ := strings.Cut(u.Opaque, "/")
	return u.Host != "" || strings.Trim(port, "0123456789") != ""
}
