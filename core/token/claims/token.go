package claims

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Token is a claim set with types. A claim that is absent is the zero value. It is no more trustworthy than the bytes
// it was read from: only core/token/verify hands out one that may be believed.
type Token struct {
	Issuer    string
	Subject   string
	Audience  []string
	Expiry    time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	ID        string // jti
	ClientID  string // client_id
	Party     string // azp

	Scopes Scopes   // of scope, or scp in older SciTokens
	Groups []string // wlcg.groups

	// All is every claim, for those that have no field.
	All jose.Object

	scope, scp, groups, wlcg, ver string // raw JSON; "" when absent
}

// Parse reads a payload. It is one pass of strict JSON; a member that differs from a known claim in case only is
// refused, and so is every known claim of a wrong type. scope may be an array of strings here: the profiles that forbid
// it check that.
func Parse(payload []byte) (Token, error) {
	o, err := jose.StrictObject(payload, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return Token{}, err
	}
	return FromObject(o)
}

// FromObject is Parse for a claim set that has been read already.
func FromObject(o jose.Object) (Token, error) {
	if err := o.RefuseVariants("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "scp",
		"wlcg.groups", "wlcg.ver", "ver", "cnf", "nonce", "at_hash", "c_hash", "typ", "token_use"); err != nil {
		return Token{}, err
	}
	t := Token{All: o}
	for _, f := range []struct {
		to   *string
		name string
	}{{&t.Issuer, "iss"}, {&t.Subject, "sub"}, {&t.ID, "jti"}, {&t.ClientID, "client_id"}, {&t.Party, "azp"}} {
		var err error
		if *f.to, err = o.String(f.name); err != nil {
			return Token{}, err
		}
	}
	for _, f := range []struct {
		to   *time.Time
		name string
	}{{&t.Expiry, "exp"}, {&t.NotBefore, "nbf"}, {&t.IssuedAt, "iat"}} {
		var err error
		if *f.to, err = o.Time(f.name); err != nil {
			return Token{}, err
		}
	}
	if err := t.lists(); err != nil {
		return Token{}, err
	}
	return t, nil
}

// lists reads the claims that are lists, and keeps the raw text of those whose type depends on the profile.
func (t *Token) lists() (err error) {
	if t.Audience, err = t.All.OneOrMore("aud"); err != nil {
		return err
	}
	t.scope, _ = t.All.Raw("scope")
	t.scp, _ = t.All.Raw("scp")
	t.wlcg, _ = t.All.Raw("wlcg.ver")
	t.ver, _ = t.All.Raw("ver")
	t.groups, _ = t.All.Raw("wlcg.groups")
	name := "scope"
	if t.scope == "" {
		name = "scp"
	}
	values, err := t.All.OneOrMore(name)
	if err != nil {
		return err
	}
	t.Scopes = splitScopes(values)
	// Without wlcg.ver nobody defines wlcg.groups: it stays a claim among others and is not read as groups.
	if t.wlcg == "" {
		return nil
	}
	t.Groups, err = t.All.Strings("wlcg.groups")
	return err
}

// Kind refuses what is no access token. headerType is typ of the header in lower case without "application/". An ID
// token is known by nonce, at_hash or c_hash, or by what Keycloak and Cognito write into typ and token_use, a logout
// token without typ by its event (OpenID Connect Back-Channel Logout 1.0 section 2.4); with at+jwt in the header there
// is no doubt.
func (t *Token) Kind(headerType string) error {
	for _, name := range []string{"typ", "token_use"} {
		switch kind, _ := t.All.String(name); strings.ToLower(kind) {
		case "id", "refresh", "offline", "logout":
			return ErrIDToken
		}
	}
	if headerType == "at+jwt" {
		return nil
	}
	if t.All.Has("nonce") || t.All.Has("at_hash") || t.All.Has("c_hash") || t.isLogout() {
		return ErrIDToken
	}
	return nil
}

// isLogout reports whether this is a logout token, which has the same issuer and audience as an ID token.
func (t *Token) isLogout() bool {
	if !t.All.Has("events") {
		return false
	}
	events, _, err := t.All.Object("events")
	return err == nil && events.Has("http://schemas.openid.net/event/backchannel-logout")
}

// Confirmation is what a token is bound to by its claim cnf (RFC 7800). The zero value is nothing.
type Confirmation struct {
	KeyThumbprint   string // jkt: RFC 7638 thumbprint of a key whose holder makes DPoP proofs (RFC 9449 section 6.1)
	CertificateHash string // x5t#S256: SHA-256 of the client's TLS certificate in base64url (RFC 8705 section 3.1)
}

// Confirmation returns what the token is bound to. The error is ErrSenderConstrained when it is bound in any other way,
// also when that comes beside one we know: nobody would check it. A wrong type is a *jose.MemberError.
func (t *Token) Confirmation() (Confirmation, error) {
	cnf, there, err := t.All.Object("cnf")
	if err != nil || !there {
		return Confirmation{}, err
	}
	var c Confirmation
	for name := range cnf.All() {
		to := &c.KeyThumbprint
		switch name {
		case "jkt":
		case "x5t#S256":
			to = &c.CertificateHash
		default:
			return Confirmation{}, ErrSenderConstrained
		}
		if *to, err = cnf.String(name); err != nil {
			return Confirmation{}, fmt.Errorf("cnf: %w", err)
		}
		if *to == "" {
			return Confirmation{}, &ValueError{"cnf", "the hash of a key or certificate"}
		}
	}
	return c, nil
}

// SenderConstraint refuses a token that is bound to anything, for callers that take plain bearer tokens only.
func (t *Token) SenderConstraint() error {
	c, err := t.Confirmation()
	if err == nil && c != (Confirmation{}) {
		err = ErrSenderConstrained
	}
	return err
}

func (t *Token) require(names ...string) error {
	for _, name := range names {
		raw, ok := t.All.Raw(name)
		if !ok || raw == `""` || raw == "[]" {
			return &MissingError{name}
		}
	}
	return nil
}

// unique reports whether no string is there twice. A token has room for thousands; most have a handful.
func unique(list []string) bool {
	if len(list) <= 8 {
		for i, s := range list {
			if slices.Contains(list[:i], s) {
				return false
			}
		}
		return true
	}
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) == len(list)
}

func (t *Token) mustBeString(name, raw string) error {
	if raw != "" && raw[0] != '"' {
		return fmt.Errorf("claim %w", &jose.MemberError{Name: name, Want: "a string"})
	}
	return nil
}
