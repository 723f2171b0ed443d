package rules

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Key names a clause of a token in its counters: the hash of what the clause says. It stays the same when the token
// rotates. Clauses that say the same share their counters.
type Key [sha256.Size]byte

// String is the key in base64url.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// KeyOf returns the key of a settled clause.
func KeyOf(r mytoken.Restriction) Key { return sha256.Sum256(Canonical(r)) }

// Canonical returns the JSON of what a settled clause says, the same for all that say it: members in the order of the
// API, lists sorted, nothing of how often it was used.
func Canonical(r mytoken.Restriction) []byte {
	scope := claims.Scopes(sorted(strings.Fields(r.Scope)))
	b, err := mytoken.Restriction{
		NotBefore: r.NotBefore, Expires: r.Expires, Scope: scope.String(), Audience: sorted(r.Audience),
		Hosts: sorted(r.Hosts), GeoIPAllow: sorted(r.GeoIPAllow), GeoIPDisallow: sorted(r.GeoIPDisallow),
		UsagesAT: r.UsagesAT, UsagesOther: r.UsagesOther,
	}.MarshalJSON()
	if err != nil {
		panic("rules: a clause of texts and numbers has no JSON: " + err.Error())
	}
	return b
}

func sorted(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
