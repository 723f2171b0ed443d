package flow

import (
	"fmt"
	"net/url"
	"strings"
)

// AudienceStyle is how a provider wants to hear for whom a token is meant.
type AudienceStyle string

const (
	// AudienceResource sends one resource parameter for each value (RFC 8707). It is the default.
	AudienceResource AudienceStyle = "resource"
	// AudienceParam sends one audience parameter for each value (RFC 8693 2.1, WLCG profile).
	AudienceParam AudienceStyle = "audience"
	// AudienceJoined sends one audience parameter with all values, blank between them, as oidc-agent's legacy mode.
	AudienceJoined AudienceStyle = "audience-joined"
	// AudienceNone is for providers that have no way; asking for an audience is an error then, because the answer would
	// be a token for everybody.
	AudienceNone AudienceStyle = "none"
)

// audience adds the values to form, or refuses with ErrAudience.
func (c *Client) audience(form url.Values, values []string) error {
	if len(values) == 0 {
		return nil
	}
	for _, v := range values {
		if v == "" || strings.ContainsAny(v, " \t\r\n") {
			return fmt.Errorf("%w: %q is not one value", ErrAudience, v)
		}
	}
	switch c.opt.Audience {
	case AudienceResource, "":
		return resources(form, values)
	case AudienceParam:
		form["audience"] = values
	case AudienceJoined:
		form.Set("audience", strings.Join(values, " "))
	default:
		return fmt.Errorf("%w: %s takes none", ErrAudience, c.md.Issuer)
	}
	return nil
}

// resources sends absolute URIs without fragment only (RFC 8707 2): a provider may ignore or misread anything else.
func resources(form url.Values, values []string) error {
	for _, v := range values {
		u, err := url.Parse(v)
		if err != nil || !u.IsAbs() || u.Fragment != "" || strings.Contains(v, "#") || u.Host == "" && u.Opaque == "" {
			return fmt.Errorf("%w: %q is not an absolute URI, which the resource parameter needs", ErrAudience, v)
		}
	}
	form["resource"] = values
	return nil
}
