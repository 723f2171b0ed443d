package rules

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// onPath reports whether scopes of this name have a path that is compared as one. For any other name the part after a
// colon is no path: "https://provider/auth" does not admit "https://provider/auth/drive".
func onPath(name string) bool {
	return strings.HasPrefix(name, "storage.") || claims.OnPath(claims.SciTokens, name)
}

// bare reports whether the scope is the name of storage scopes without the path they need (WLCG profile: a token with
// such a scope is invalid). In a clause it admits every path; it is never asked of a provider.
func bare(scope string) bool {
	return strings.HasPrefix(scope, "storage.") && !strings.Contains(scope, ":")
}

// admits reports whether a clause with the scope have allows the scope want.
func admits(have, want string) bool {
	if have == want {
		return true
	}
	name, _, hasPath := strings.Cut(have, ":")
	if !onPath(name) {
		return false
	}
	if hasPath {
		return claims.CoversScope(have, want)
	}
	s, err := claims.ParseScope(want)
	return err == nil && s.Name == name && s.HasPath
}

// admitsAll reports whether each of want is admitted by one of have.
func admitsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !admitsOne(have, w) })
}

func admitsOne(have []string, want string) bool {
	return slices.ContainsFunc(have, func(h string) bool { return admits(h, want) })
}

// common returns the scopes that both sides admit: of two paths the longer one.
func common(a, b []string) claims.Scopes {
	var out claims.Scopes
	for _, x := range a {
		if admitsOne(b, x) {
			out = appendNew(out, x)
			continue
		}
		for _, y := range b {
			if admits(x, y) {
				out = appendNew(out, y)
			}
		}
	}
	return out
}

func appendNew[S ~[]string](list S, s string) S {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// maxScope is the longest scope of a clause, in bytes.
const maxScope = 1024

// scopeFault says why a scope cannot be in a clause, "" when it can (RFC 6749 section 3.3, and for names with a path
// that the path is one).
func scopeFault(s string) string {
	strange := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if len(s) > maxScope || strings.ContainsFunc(s, strange) {
		return "a scope has characters that no scope has, or too many"
	}
	if name, _, hasPath := strings.Cut(s, ":"); hasPath && onPath(name) {
		if _, err := claims.ParseScope(s); err != nil {
			return "the path of scope " + quote(s) + " is none"
		}
	}
	return ""
}
