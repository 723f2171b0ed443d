package issuer

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
	scopeGroups  = "wlcg.groups"
	maxScopes    = 100
)

// plainScopes are the names known without a path or group.
func plainScopes() []string {
	return []string{
		scopeOpenID, scopeOffline, "profile", "email", "eduperson_assurance", "eduperson_entitlement", "entitlements",
		"wlcg", "wlcg:1.0", scopeGroups, "compute.read", "compute.create", "compute.modify", "compute.cancel",
		"host.auth", "fts", "fts:submit-transfer",
	}
}

// pathScopes need a path (WLCG profile 1.3, section 3.4 of its table).
func pathScopes() []string {
	return []string{"storage.read", "storage.create", "storage.modify", "storage.stage", "storage.poll"}
}

// parseScope splits a scope parameter, without repetitions and in its order. A storage scope without a good path is an
// error, because the profile calls a token with one invalid as a whole.
func parseScope(s string) ([]string, error) {
	if len(s) > maxScopeText {
		return nil, badScope("scope is too long")
	}
	var out []string
	for _, name := range strings.Split(s, " ") {
		if name == "" || slices.Contains(out, name) {
			continue
		}
		if !scopeChars(name) {
			return nil, badScope("scope has characters that RFC 6749 does not allow")
		}
		if kind, _, _ := strings.Cut(name, ":"); slices.Contains(pathScopes(), kind) {
			if s, err := claims.ParseScope(name); err != nil || !s.HasPath {
				return nil, badScope("a storage scope needs an absolute path without dot-dot")
			}
		}
		out = append(out, name)
	}
	if len(out) > maxScopes {
		return nil, badScope("too many scopes")
	}
	return out, nil
}

func scopeChars(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' })
}

func isGroupScope(s string) bool { return s == scopeGroups || strings.HasPrefix(s, scopeGroups+":") }

func isPathScope(s string) bool {
	kind, _, ok := strings.Cut(s, ":")
	return ok && slices.Contains(pathScopes(), kind)
}

func (i *Issuer) knows(scope string) bool {
	return slices.Contains(plainScopes(), scope) || slices.Contains(i.o.Scopes, scope) ||
		isPathScope(scope) || isGroupScope(scope) && goodGroup(scope)
}

func goodGroup(scope string) bool {
	group, named := strings.CutPrefix(scope, scopeGroups+":")
	return !named || claims.ValidGroup(group)
}

// allowed leaves out of asked, without a word as IAM does, what is unknown, not within the client's registration, or
// tied to a group that the user is not in. u is nil for a client on its own, which has no groups and nobody to
// identify.
func (i *Issuer) allowed(c party, u *User, asked []string) []string {
	out := slices.DeleteFunc(slices.Clone(asked), func(s string) bool {
		return !i.knows(s) || len(c.Scope) > 0 && !coveredBy(c.Scope, s) || i.tied(s, u) || u == nil && personal(s)
	})
	// A request for a group includes the default ones: they stay when the group itself does not.
	if u != nil && slices.ContainsFunc(asked, isGroupScope) && !slices.ContainsFunc(out, isGroupScope) &&
		(len(c.Scope) == 0 || coveredBy(c.Scope, scopeGroups)) {
		out = append(out, scopeGroups)
	}
	return out
}

// tied reports whether the scope belongs to a group that u is not in.
func (i *Issuer) tied(scope string, u *User) bool {
	outside := func(group string) bool { return u == nil || !slices.Contains(u.Groups, group) }
	if group, ok := strings.CutPrefix(scope, scopeGroups+":"); ok {
		return outside(group)
	}
	return slices.ContainsFunc(i.o.Ties, func(t Tie) bool { return t.covers(scope) && outside(t.Group) })
}

// personal scopes say something about a person or keep a person's login.
func personal(s string) bool {
	switch s {
	case scopeOpenID, scopeOffline, "profile", "email", "eduperson_assurance", "eduperson_entitlement", "entitlements":
		return true
	}
	return isGroupScope(s)
}

func (t Tie) covers(scope string) bool {
	if prefix, ok := strings.CutSuffix(t.Scope, "*"); ok {
		return strings.HasPrefix(scope, prefix)
	}
	return t.Scope == scope
}

// coveredBy reports whether having have includes want.
func coveredBy(have []string, want string) bool {
	return slices.ContainsFunc(have, func(h string) bool { return covers(h, want) })
}

// covers: the same name; a path scope covers those below it; any request for groups includes the default ones, so it
// covers the plain name.
func covers(have, want string) bool {
	if have == want {
		return true
	}
	if isGroupScope(have) && want == scopeGroups {
		return true
	}
	if !isPathScope(have) || !isPathScope(want) {
		return false
	}
	h, err := claims.ParseScope(have)
	if err != nil {
		return false
	}
	w, err := claims.ParseScope(want)
	return err == nil && h.Covers(w)
}

// selectGroups returns wlcg.groups for a request, nil when it asks for no groups: those asked for in their order, the
// default ones where the plain name stands, or at the end when only single groups were asked for. A group the user is
// not in is never in it.
func selectGroups(u User, scopes []string) []string {
	asked := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !isGroupScope(s) })
	if len(asked) == 0 {
		return nil
	}
	var out []string
	add := func(groups ...string) {
		for _, g := range groups {
			if slices.Contains(u.Groups, g) && !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	for _, s := range append(asked, scopeGroups) {
		if s == scopeGroups {
			add(u.DefaultGroups...)
			continue
		}
		add(strings.TrimPrefix(s, scopeGroups+":"))
	}
	return out
}

// narrowAudience returns the audiences of a new token: want, which have must cover, or have when nothing is wanted. The
// any-value covers everything.
func narrowAudience(have, want []string) ([]string, error) {
	if len(want) == 0 {
		return have, nil
	}
	if slices.Contains(have, AnyAudience) {
		return want, nil
	}
	for _, a := range want {
		if !slices.Contains(have, a) {
			return nil, badTarget("the token may not be used for that audience")
		}
	}
	return want, nil
}
