package profiles

import (
	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Shipped is the template that every server has under a name.
type Shipped struct {
	Name    string
	Payload string // JSON; it may name other templates
}

// ShippedOf returns the templates of a kind that every server has in the default group, until its administrator puts
// others in their place.
func ShippedOf(kind string) []Shipped {
	switch kind {
	case mytoken.CapabilityTemplates:
		return []Shipped{
			{"all", `["AT","create_mytoken","tokeninfo","manage_mytokens","settings"]`},
			{"default", `["AT","tokeninfo"]`},
			{"default+MT", `["@default","create_mytoken"]`},
		}
	case mytoken.RestrictionTemplates:
		return []Shipped{
			{"12h", `{"exp":"+12h"}`},
			{"1d", `{"exp":"+1d"}`},
			{"1w", `{"exp":"+1w"}`},
			{"1m", `{"exp":"+30d"}`}, // there is no unit for months
			{"1y", `{"exp":"+1y"}`},
			{"ip-this", `{"hosts":["this"]}`},
			{"web-default", `{"include":["1w","ip-this"]}`},
		}
	case mytoken.RotationTemplates:
		return []Shipped{
			{"at", `{"on_AT":true}`},
			{"other", `{"on_other":true}`},
			{"daily", `{"lifetime":86400}`},
			{"weekly", `{"lifetime":604800}`},
			{"monthly", `{"lifetime":2592000}`},
			{"auto-revoke", `{"auto_revoke":true}`},
			{"at-other-auto-revoke", `{"include":["at","other","auto-revoke"]}`},
			{"at-other-no-auto-revoke", `{"include":["at","other"]}`},
			{"at-other-daily-auto-revoke", `{"include":["at-other-auto-revoke","daily"]}`},
			{"at-other-weekly-auto-revoke", `{"include":["at-other-auto-revoke","weekly"]}`},
		}
	case mytoken.Profiles:
		return []Shipped{
			{"agent", `{"capabilities":["@all"]}`},
			{
				"web-default",
				`{"capabilities":["@all"],"restrictions":{"include":"web-default"},"rotation":{"include":["at","auto-revoke"]}}`,
			},
		}
	}
	return nil
}

// LookupShipped is the Lookup of the templates that every server has.
func LookupShipped(kind string, name Name) ([]byte, bool, error) {
	if name.Group != mytoken.DefaultGroup {
		return nil, false, nil
	}
	for _, s := range ShippedOf(kind) {
		if s.Name == name.Name {
			return []byte(s.Payload), true, nil
		}
	}
	return nil, false, nil
}

// First is the Lookup that asks each of these in turn until one has the template.
func First(lookups ...Lookup) Lookup {
	return func(kind string, name Name) ([]byte, bool, error) {
		for _, l := range lookups {
			if payload, ok, err := l(kind, name); ok || err != nil {
				return payload, ok, err
			}
		}
		return nil, false, nil
	}
}
