package service

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Scopes every login asks for unless the provider says otherwise.
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"

	googleIssuer = "https://accounts.google.com"
)

// words splits a blank-separated list and drops repetitions; the order stays.
func words(list string) []string {
	var out []string
	for w := range strings.FieldsSeq(list) {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// setOf is the list in a form in which two lists that mean the same are equal.
func setOf(list string) string {
	w := words(list)
	slices.Sort(w)
	return strings.Join(w, " ")
}

// authScopes are the scopes of an interactive login: what the person asked for first, then what an agent needs.
// Google has no offline_access scope (access_type=offline does it), and a login for one access token needs none.
func authScopes(asked, issuer string, oauth2, onlyAT bool) []string {
	out := words(asked)
	if !oauth2 && !slices.Contains(out, scopeOpenID) {
		out = append(out, scopeOpenID)
	}
	if onlyAT || login.SameIssuer(issuer, googleIssuer) {
		return slices.DeleteFunc(out, func(s string) bool { return s == scopeOffline })
	}
	if !slices.Contains(out, scopeOffline) {
		out = append(out, scopeOffline)
	}
	return out
}

// refreshScopes are the scopes of a refresh: those asked for, else the login's own. offline_access is about the
// refresh token and is never sent.
func refreshScopes(asked string, own ...string) []string {
	list := asked
	for _, o := range own {
		if strings.TrimSpace(list) == "" {
			list = o
		}
	}
	return slices.DeleteFunc(words(list), func(s string) bool { return s == scopeOffline })
}

// narrowed reports whether usual, the scopes of a login's tokens when nothing is asked for, is less than the login has.
func narrowed(usual, has string) bool {
	if strings.TrimSpace(usual) == "" {
		return false
	}
	own := refreshScopes(has)
	return within(refreshScopes(usual), own) && setOf(joined(refreshScopes(usual))) != setOf(joined(own))
}

// within reports whether each scope of part is one of whole, or below one of it where both have a path.
func within(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(want string) bool {
		return !slices.ContainsFunc(whole, func(have string) bool { return claims.CoversScope(have, want) })
	})
}
