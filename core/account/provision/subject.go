package provision

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// Bounds of what is taken from the claims of one identity.
const (
	maxText     = 256      // bytes of a name or an address as JSON
	maxKeys     = 32       // ssh keys
	maxKeyBytes = 16 << 10 // of all ssh keys together, as JSON
	maxVOs      = 512      // groups and entitlements that are remembered
	maxVOBytes  = 24 << 10 // of those together, as JSON
	maxValues   = 256      // of assurance
)

// Subject is an identity, and what its issuer says about it. All texts but ID are a stranger's.
type Subject struct {
	ID           string // as names.Encode writes Sub and Iss
	Sub, Iss     string
	Person       names.Person
	Entitlements []string // claim eduperson_entitlement
	Groups       []string // claims groups and wlcg.groups
	Assurance    []string // claim eduperson_assurance
	MFA          bool     // this login had a second factor
	Keys         []backend.Key
	Email        string
	VOs          []string // what bulk jobs select by: entitlements without authority, groups
	// VOsCut: there were more than are remembered.
	VOsCut bool
}

// ClaimRules say which claims tell what. An empty list is the usual claim; Keys has none.
type ClaimRules struct {
	Entitlements []string // eduperson_entitlement and entitlements
	Groups       []string // groups and wlcg.groups
	Assurance    []string // eduperson_assurance
	MFA          []string // values of acr that say that there was a second factor: MFAProfile
	Keys         string   // claim with ssh public keys, one a value; "" takes none
}

// MFAProfile is the value of acr for a login with a second factor (REFEDS MFA Profile), and what assurance expressions
// have for it.
const MFAProfile = "https://refeds.org/profile/mfa"

func (c ClaimRules) withDefaults() ClaimRules {
	usual := func(list *[]string, names ...string) {
		if len(*list) == 0 {
			*list = names
		}
	}
	usual(&c.Entitlements, "eduperson_entitlement", "entitlements")
	usual(&c.Groups, "groups", "wlcg.groups")
	usual(&c.Assurance, "eduperson_assurance")
	usual(&c.MFA, MFAProfile)
	return c
}

// SubjectOf makes a Subject of what was checked about a token. The error is names.ErrIdentity.
func SubjectOf(p policy.Subject, c ClaimRules) (Subject, error) {
	id, err := names.Encode(p.Subject, p.Issuer)
	if err != nil {
		return Subject{}, err
	}
	c = c.withDefaults()
	one := func(claims ...string) string {
		for _, claim := range claims {
			if texts := p.Texts(claim); len(texts) == 1 && texts[0] != "" {
				return texts[0]
			}
		}
		return ""
	}
	s := Subject{
		ID: id, Sub: p.Subject, Iss: p.Issuer, Email: one("email"),
		Person: names.Person{
			PreferredUsername: one("preferred_username"), Given: one("given_name"), Family: one("family_name", "sn"),
			Name: one("name"), Email: one("email"),
		},
		Entitlements: merged(p, c.Entitlements), Groups: merged(p, c.Groups), Assurance: merged(p, c.Assurance),
	}
	s.MFA = slices.ContainsFunc(p.Texts("acr"), func(acr string) bool { return slices.Contains(c.MFA, acr) })
	if c.Keys != "" {
		s.Keys = keysOf(p.Texts(c.Keys))
	}
	s.VOs, s.VOsCut = vosOf(s.Entitlements, s.Groups)
	return s, nil
}

func merged(p policy.Subject, claims []string) []string {
	var out []string
	for _, claim := range claims {
		out = append(out, p.Texts(claim)...)
	}
	return out
}

// keysOf reads lines of authorized_keys; options and what is no key are the account system's to refuse.
func keysOf(lines []string) []backend.Key {
	keys := []backend.Key{}
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			keys = append(keys, backend.Key{Value: line})
		}
	}
	return keys
}

// vosOf are the memberships that are remembered, in a form that compares: the normal form of an entitlement, or the
// value.
func vosOf(entitlements, groups []string) (vos []string, cut bool) {
	size := 0
	seen := map[string]bool{}
	add := func(text string) {
		text = strings.ToValidUTF8(text, "") // as a record has it
		switch {
		case text == "" || seen[text]:
		case len(vos) == maxVOs || size+written(text) > maxVOBytes:
			cut = true
		default:
			seen[text] = true
			size += written(text)
			vos = append(vos, text)
		}
	}
	for _, text := range entitlements {
		if e, err := entitlement.Parse(text); err == nil {
			text = e.String()
		}
		add(text)
	}
	for _, text := range groups {
		add(text)
	}
	slices.Sort(vos)
	return vos, cut
}

// checked returns s within the bounds of this package. The error is names.ErrIdentity when ID is not that of Sub and
// Iss.
func (s Subject) checked() (Subject, error) {
	if id, err := names.Encode(s.Sub, s.Iss); err != nil || id != s.ID {
		return Subject{}, names.ErrIdentity
	}
	s.Email = bounded(s.Email)
	if len(s.VOs) == 0 && !s.VOsCut {
		s.VOs, s.VOsCut = vosOf(s.Entitlements, s.Groups)
	} else {
		var cut bool
		s.VOs, cut = vosOf(nil, s.VOs)
		s.VOsCut = s.VOsCut || cut
	}
	if s.Keys != nil {
		s.Keys = boundedKeys(s.Keys)
	}
	return s, nil
}

func boundedKeys(keys []backend.Key) []backend.Key {
	out, size := []backend.Key{}, 0
	for _, k := range keys {
		k.Name, k.ID = bounded(k.Name), bounded(k.ID)
		if size += written(k.Name) + written(k.ID) + written(k.Value); len(out) == maxKeys || size > maxKeyBytes {
			break
		}
		out = append(out, k)
	}
	return out
}

// person is what account systems may be told. What is too long is left out: half a name is nobody's.
func (s Subject) person() backend.Person {
	p := s.Person
	return backend.Person{
		Given: bounded(p.Given), Family: bounded(p.Family), Full: bounded(p.Name), Email: bounded(s.Email),
	}
}

// bounded is text that can be kept and shown: "" for one that is too long, and nothing that a line of a log or a mail
// would end at.
func bounded(text string) string {
	if len(text) > maxText {
		return ""
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
	if written(text) > maxText+2 {
		return ""
	}
	return text
}

// written is how many bytes a text has in a record.
func written(text string) int {
	if len(text) > maxVOBytes {
		return len(text)
	}
	raw, err := json.Marshal(text)
	if err != nil { // text always encodes
		return len(text)
	}
	return len(raw)
}
