package upstream

import (
	"maps"
	"net/url"
	"slices"

	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
)

// Style is how a provider is told for whom an access token is meant.
type Style string

const (
	// Resource sends one resource parameter for each value (RFC 8707), and takes absolute URIs only: what is none would
	// have to be sent in a way that the provider does not know, and the token be for anybody.
	Resource Style = "resource"
	// ResourceOrAudience is Resource for absolute URIs, and an audience parameter for anything else.
	ResourceOrAudience Style = "resource-or-audience"
	// Audience sends one audience parameter for each value (WLCG profile, RFC 8693).
	Audience Style = "audience"
	// Joined sends one audience parameter with all values, a blank between them.
	Joined Style = "audience-joined"
	// None is for providers that cannot be told. A mytoken with an audience is refused there.
	None Style = "none"
)

// Styles returns all of them.
func Styles() []Style { return []Style{Resource, ResourceOrAudience, Audience, Joined, None} }

func (s Style) flow() flow.AudienceStyle {
	switch s {
	case Audience:
		return flow.AudienceParam
	case Joined:
		return flow.AudienceJoined
	case None:
		return flow.AudienceNone
	}
	return flow.AudienceResource
}

// Quirks are what one make of provider does in its own way.
type Quirks struct {
	// Offline is the scope that makes a refresh token last; "": none is asked for.
	Offline string
	// Parameters go with each authorization request.
	Parameters url.Values
	Audience   Style
	// Extra are audiences that the provider adds to every access token, asked for or not.
	Extra []string
	// ExtraScopes are scopes that the provider adds to every access token, asked for or not.
	ExtraScopes []string
	// Fixed says that an access token has all scopes of its login, whatever a refresh asks for. Restrictions on scope are
	// then possible only where all clauses have the same.
	Fixed bool
	// Again are scopes sent with every refresh that asks for some: without them the provider refuses it.
	Again []string
	// Assertion is for whom assertions of private_key_jwt are.
	Assertion flow.AssertionAudience
	// Habit is what becomes of a refresh token that was used. Unknown: it is learned.
	Habit custody.Habit
}

// Kind is a make of provider, or one that is so well known that its ways are.
type Kind struct {
	Name    string // in a configuration
	About   string // one line for people
	Issuers []string
	Quirks
}

// Generic is the kind of a provider that nothing else is said of.
const Generic = "generic"

// Kinds returns what is known of providers. docs/admin/providers.md shows the same table.
func Kinds() []Kind {
	const offline = "offline_access"
	return []Kind{
		{
			Name: Generic, About: "what follows the standards",
			Quirks: Quirks{Offline: offline, Audience: Resource},
		},
		{
			Name: "keycloak", About: "Keycloak and what is made of it",
			Quirks: Quirks{
				Offline: offline, Audience: None, Extra: []string{"account"}, ExtraScopes: []string{"profile", "email"},
				Again: []string{offline},
			},
		},
		{
			Name: "iam", About: "INDIGO IAM, also as the token issuer of a WLCG community",
			Quirks: Quirks{
				Offline: offline, Audience: Joined, Assertion: flow.ForTokenEndpoint, Habit: custody.HabitKeeps,
			},
		},
		{
			Name: "egi", About: "EGI Check-in",
			Issuers: []string{"https://aai.egi.eu/auth/realms/egi"},
			Quirks: Quirks{
				Offline: offline, Audience: Audience, Extra: []string{"account"}, ExtraScopes: []string{"profile", "email"},
				Again: []string{offline},
			},
		},
		{
			Name: "google", About: "Google accounts",
			Issuers: []string{"https://accounts.google.com"},
			Quirks: Quirks{
				Parameters: url.Values{"access_type": {"offline"}}, Audience: None, Fixed: true, Habit: custody.HabitKeeps,
			},
		},
	}
}

// kindOf returns the kind of that name, or, for "", that of a well-known issuer, else Generic.
func kindOf(name, issuer string) (Kind, bool) {
	all := Kinds()
	for _, k := range all {
		if k.Name == name || name == "" && slices.Contains(k.Issuers, issuer) {
			return k, true
		}
	}
	if name != "" {
		return Kind{}, false
	}
	return all[0], true
}

func (q Quirks) clone() Quirks {
	q.Parameters = maps.Clone(q.Parameters)
	return q
}
