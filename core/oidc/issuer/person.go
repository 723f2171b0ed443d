package issuer

import "slices"

// personClaims are what ID token and userinfo tell of a person, by the scopes that were granted.
type personClaims struct {
	Name         string   `json:"name,omitempty"`
	Username     string   `json:"preferred_username,omitempty"`
	Email        string   `json:"email,omitempty"`
	Verified     bool     `json:"email_verified,omitempty"`
	Assurance    []string `json:"eduperson_assurance,omitempty"`
	EduEntitled  []string `json:"eduperson_entitlement,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"`
	Groups       []string `json:"wlcg.groups,omitempty"`
}

func personOf(u User, scopes []string) personClaims {
	p := personClaims{
		Assurance:    ifAsked(scopes, "eduperson_assurance", u.Assurance),
		EduEntitled:  ifAsked(scopes, "eduperson_entitlement", u.Entitlements),
		Entitlements: ifAsked(scopes, "entitlements", u.Entitlements),
		Groups:       selectGroups(u, scopes),
	}
	if slices.Contains(scopes, "profile") {
		p.Name, p.Username = u.FullName, u.Name
	}
	if slices.Contains(scopes, "email") {
		p.Email, p.Verified = u.Email, u.Email != ""
	}
	return p
}
