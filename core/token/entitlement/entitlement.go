// Package entitlement reads group memberships as AARC writes them,
// urn:NID:DELEGATED[:SUBNS]*:group:GROUP[:SUBGROUP]*[:role=ROLE][#AUTHORITY], and says whether one that somebody has
// satisfies one that is wanted.
//
// It does not know who asserted an entitlement, and an entitlement is only as good as its issuer: binding namespaces to
// issuers is core/token/policy's work. Resource capabilities (AARC-G027) are not read.
//
// Standards: AARC-G002, AARC-G069, RFC 8141.
//
// Not a public API.
package entitlement

import (
	"net/url"
	"slices"
	"strings"
)

// MaxLength bounds one entitlement, in bytes.
const MaxLength = 4096

// Entitlement is one that was parsed. The zero value is none and satisfies nothing. The parts are in normal form:
// namespaces in lower case, percent triplets in upper case.
type Entitlement struct {
	nid, delegated        string
	subnamespaces, groups []string // groups[0] is GROUP, the others are its subgroups
	role                  string   // "" when there is none
	authority             string
}

// Form says by which guideline an entitlement is read.
type Form int

// The forms. G002 percent-decodes the whole string before reading it; G002Strict demands the authority as well, which
// the text of 2017 does and nearly nobody else.
const (
	G069 Form = iota
	G002
	G002Strict
)

// Parse reads an entitlement by AARC-G069, which takes all that G002 writes. The error is ErrForm.
func Parse(s string) (Entitlement, error) { return ParseForm(s, G069) }

// ParseForm reads an entitlement by the rules of form. The error is ErrForm, or ErrAuthority with G002Strict.
func ParseForm(s string, form Form) (Entitlement, error) {
	if len(s) > MaxLength {
		return Entitlement{}, ErrForm
	}
	allowed := urnCharacter
	if form != G069 {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return Entitlement{}, ErrForm
		}
		s, allowed = decoded, decodedCharacter
	}
	e, ok := parse(s, allowed, form == G069)
	switch {
	case !ok:
		return Entitlement{}, ErrForm
	case form == G002Strict && e.authority == "":
		return Entitlement{}, ErrAuthority
	}
	return e, nil
}

func parse(s string, allowed func(byte) bool, triplets bool) (Entitlement, bool) {
	namespace, rest, ok := strings.Cut(s, ":group:") // the first one ends the namespace
	if !ok {
		return Entitlement{}, false
	}
	// The optional components of RFC 8141 end what names the namespace.
	if end := componentStart(namespace); end >= 0 {
		namespace = namespace[:end]
	}
	path, authority, has := strings.Cut(rest, "#")
	if has && (authority == "" || strings.ContainsFunc(authority, func(r rune) bool { return r <= ' ' || r == 0x7f })) {
		return Entitlement{}, false
	}
	spaces, ok := split(namespace, allowed, triplets)
	if !ok || len(spaces) < 3 || !strings.EqualFold(spaces[0], "urn") || !validNID(spaces[1]) {
		return Entitlement{}, false
	}
	for i := range spaces {
		spaces[i] = upperTriplets(strings.ToLower(spaces[i]), triplets)
	}
	e := Entitlement{nid: spaces[1], delegated: spaces[2], subnamespaces: spaces[3:], authority: authority}
	if e.groups, ok = split(path, allowed, triplets); !ok {
		return Entitlement{}, false
	}
	for i := range e.groups {
		e.groups[i] = upperTriplets(e.groups[i], triplets)
	}
	return e, e.takeRole()
}

// takeRole moves a role at the end out of the groups. One anywhere else is no group.
func (e *Entitlement) takeRole() bool {
	last := len(e.groups) - 1
	if role, ok := strings.CutPrefix(e.groups[last], "role="); ok {
		if role == "" {
			return false
		}
		e.role, e.groups = role, e.groups[:last]
	}
	return len(e.groups) > 0 &&
		!slices.ContainsFunc(e.groups, func(g string) bool { return strings.HasPrefix(g, "role=") })
}

// componentStart finds where "?+r", "?=q" or "#f" begins, -1 for nowhere.
func componentStart(s string) int {
	for i := range len(s) {
		if s[i] == '#' || s[i] == '?' && i+1 < len(s) && (s[i+1] == '+' || s[i+1] == '=') {
			return i
		}
	}
	return -1
}

// split takes a part of the URN to pieces at its colons and refuses empty ones and characters no URN has.
func split(s string, allowed func(byte) bool, triplets bool) ([]string, bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && triplets:
			if i+2 >= len(s) || !hex(s[i+1]) || !hex(s[i+2]) {
				return nil, false
			}
			i += 2
		case s[i] != ':' && !allowed(s[i]):
			return nil, false
		}
	}
	parts := strings.Split(s, ":")
	return parts, !slices.Contains(parts, "")
}

// urnCharacter is pchar of RFC 3986 and the slash, without the colon and the percent sign.
func urnCharacter(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("-._~!$&'()*+,;=@/", c) >= 0
}

// decodedCharacter is what may stand in G002 once everything is decoded: text of any language, without control
// characters.
func decodedCharacter(c byte) bool { return c >= 0x20 && c != 0x7f && c != '#' }

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func validNID(s string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return len(s) >= 2 && len(s) <= 32 && s[0] != '-' && s[len(s)-1] != '-'
}

func upperTriplets(s string, triplets bool) string {
	if !triplets || !strings.Contains(s, "%") {
		return s
	}
	b := []byte(s)
	for i := range b {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToUpper(s[i+1:i+3]))
		}
	}
	return string(b)
}

// Namespace is the NID, the delegated namespace and the subnamespaces in normal form: "geant:h-df.de".
func (e Entitlement) Namespace() string {
	return strings.Join(append([]string{e.nid, e.delegated}, e.subnamespaces...), ":")
}

// Role is the role, "" when there is none.
func (e Entitlement) Role() string { return e.role }

// Groups are the group and its subgroups, from the top.
func (e Entitlement) Groups() []string { return slices.Clone(e.groups) }

// Authority is who is said to have asserted it. It decides nothing (AARC-G069).
func (e Entitlement) Authority() string { return e.authority }

// String is the normal form, without the authority, "" for the zero value.
func (e Entitlement) String() string {
	if e.nid == "" {
		return ""
	}
	s := "urn:" + e.Namespace() + ":group:" + strings.Join(e.groups, ":")
	if e.role != "" {
		s += ":role=" + e.role
	}
	return s
}

// Equal compares all parts but the authority.
func (e Entitlement) Equal(o Entitlement) bool {
	return e.nid == o.nid && e.delegated == o.delegated && e.role == o.role &&
		slices.Equal(e.subnamespaces, o.subnamespaces) && slices.Equal(e.groups, o.groups)
}

// Satisfies reports whether somebody who has e has what required asks for: the same namespace and group; a member of a
// subgroup is one of the groups above it; a role counts in exactly the group it is required in, and any role will do
// when none is required. The subnamespaces required have to be a leading part of those of e, as in the reference
// library; with strictNamespace they have to be equal.
func (e Entitlement) Satisfies(required Entitlement, strictNamespace bool) bool {
	switch {
	case e.nid == "" || e.nid != required.nid || e.delegated != required.delegated:
		return false
	case !leads(required.subnamespaces, e.subnamespaces) || !leads(required.groups, e.groups):
		return false
	case strictNamespace && len(required.subnamespaces) != len(e.subnamespaces):
		return false
	case required.role != "":
		return required.role == e.role && len(required.groups) == len(e.groups)
	}
	return true
}

func leads(short, long []string) bool {
	return len(short) <= len(long) && slices.Equal(short, long[:len(short)])
}
