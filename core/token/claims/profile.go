package claims

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Profile is a set of rules for the claims of an access token.
type Profile string

// The profiles. Every token has exactly one.
const (
	Generic   Profile = "generic"
	WLCG      Profile = "wlcg"
	SciTokens Profile = "scitokens"
	ATJWT     Profile = "at+jwt" // RFC 9068
)

// Audience values that mean every relying party, each in its own profile only.
const (
	AnyWLCG      = "https://wlcg.cern.ch/jwt/v1/any"
	AnySciTokens = "ANY"
)

// Profiles returns all of them.
func Profiles() []Profile { return []Profile{Generic, WLCG, SciTokens, ATJWT} }

// Profile decides which profile the token is of: wlcg.ver makes a WLCG token, ver a SciToken, typ at+jwt in the header
// an RFC 9068 token, and what has none of them is generic. allowed is what its issuer may use, nil for all. ver is
// read as SciTokens' only where that profile is allowed or the value is one of its own, because other makes (Entra ID)
// have a claim of that name too; a token without any mark is a SciToken of version 1.0 where SciTokens is allowed and
// generic is not. The error is ErrTwoProfiles or a *ProfileError.
func (t *Token) Profile(headerType string, allowed []Profile) (Profile, error) {
	mayBe := func(p Profile) bool { return len(allowed) == 0 || slices.Contains(allowed, p) }
	sci := t.ver != "" && (mayBe(SciTokens) || strings.HasPrefix(t.ver, `"scitoken`))
	p := Generic
	switch {
	case t.wlcg != "" && sci:
		return "", ErrTwoProfiles
	case t.wlcg != "":
		p = WLCG
	case sci:
		p = SciTokens
	case headerType == "at+jwt":
		p = ATJWT
	case len(allowed) > 0 && mayBe(SciTokens) && !mayBe(Generic):
		p = SciTokens
	}
	if !mayBe(p) {
		return "", &ProfileError{Want: allowed, Got: p}
	}
	return p, nil
}

// Check applies the rules of p for claims and header that need neither clock nor audience: required claims, types,
// versions, scopes and groups. The signature must have been checked before.
func (t *Token) Check(p Profile, h jose.Header) error {
	switch p {
	case WLCG:
		return t.checkWLCG(h)
	case SciTokens:
		return t.checkSciTokens(h)
	case ATJWT:
		if err := t.mustBeString("scope", t.scope); err != nil {
			return err
		}
		return t.require("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
	case Generic:
		return t.require("iss", "exp", "aud", "sub")
	}
	return &ProfileError{Want: Profiles(), Got: p}
}

func (t *Token) checkWLCG(h jose.Header) error {
	if err := t.require("iss", "sub", "aud", "exp", "iat", "jti"); err != nil {
		return err
	}
	if err := t.secureIssuer(); err != nil {
		return err
	}
	version, err := t.All.String("wlcg.ver")
	if err != nil {
		return err
	}
	if major, ok := majorVersion(version); !ok || major != "1" {
		return ErrVersion
	}
	if !h.HasKeyID {
		return ErrNoKeyID
	}
	if len(t.Subject) > 255 || strings.ContainsFunc(t.Subject, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return &ValueError{"sub", "at most 255 printable ASCII characters"}
	}
	if err := t.mustBeString("scope", t.scope); err != nil {
		return err
	}
	for _, g := range t.Groups {
		if !ValidGroup(g) {
			return &ValueError{"wlcg.groups", "a list of group names"}
		}
	}
	if !unique(t.Groups) {
		return &ValueError{"wlcg.groups", "free of duplicates"}
	}
	return t.Scopes.check(WLCG)
}

// secureIssuer wants an https URL, as both communities' profiles do. A provider on this machine, for development, may
// do without.
func (t *Token) secureIssuer() error {
	if strings.HasPrefix(t.Issuer, "https://") {
		return nil
	}
	u, err := url.Parse(t.Issuer)
	if err == nil && u.Scheme == "http" {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return nil
		}
	}
	return &ValueError{"iss", "an https URL"}
}

// majorVersion reads [0-9]+\.[0-9]+.
func majorVersion(v string) (string, bool) {
	major, minor, ok := strings.Cut(v, ".")
	return major, ok && digits(major) && digits(minor)
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// ValidGroup checks the grammar of a WLCG group: "/" name, repeated; a name begins with a letter or digit and goes on
// with those and "_", "." and "-".
func ValidGroup(g string) bool {
	rest, ok := strings.CutPrefix(g, "/")
	if !ok {
		return false
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "" || strings.IndexByte("_.-", name[0]) >= 0 {
			return false
		}
		for i := range len(name) {
			c := name[i]
			if !alphanumeric(c) && strings.IndexByte("_.-", c) < 0 {
				return false
			}
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func (t *Token) checkSciTokens(h jose.Header) error {
	if h.Alg != jose.RS256 && h.Alg != jose.ES256 {
		return ErrProfileAlgorithm
	}
	if err := t.require("iss", "exp", "nbf", "iat"); err != nil {
		return err
	}
	if err := t.secureIssuer(); err != nil {
		return err
	}
	two, err := t.sciTokensTwo()
	if err != nil {
		return err
	}
	if two {
		if err := t.require("aud"); err != nil {
			return err
		}
	} else if err := t.onlyKnown(); err != nil {
		return err
	}
	if err := t.mustBeString("scope", t.scope); err != nil {
		return err
	}
	return t.Scopes.check(SciTokens)
}

// sciTokensTwo reports whether the token is of version 2.0. The spelling scitokens:2.0 is the library's own slip.
func (t *Token) sciTokensTwo() (bool, error) {
	version, err := t.All.String("ver")
	if err != nil {
		return false, err
	}
	switch {
	case t.ver == "", version == "scitokens:1.0":
		return false, nil
	case version == "scitoken:2.0", version == "scitokens:2.0":
		return true, nil
	}
	return false, ErrVersion
}

func (t *Token) onlyKnown() error {
	for name := range t.All.All() {
		switch name {
		case "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "ver", "opt":
		default:
			return ErrUnknownClaim
		}
	}
	return nil
}

// AudienceOptional reports whether p lets this token have no aud: SciTokens 1.0 does, nobody else.
func (t *Token) AudienceOptional(p Profile) bool {
	two, err := t.sciTokensTwo()
	return p == SciTokens && err == nil && !two
}

// MeantForAll reports whether the audience holds the value that means everybody in profile p.
func (t *Token) MeantForAll(p Profile) bool {
	switch p {
	case WLCG:
		return slices.Contains(t.Audience, AnyWLCG)
	case SciTokens:
		return slices.Contains(t.Audience, AnySciTokens) && !t.AudienceOptional(p)
	}
	return false
}
