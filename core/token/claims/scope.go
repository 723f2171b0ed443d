package claims

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes are the pieces of a scope claim in their order.
type Scopes []string

// ParseScopes splits a scope claim on spaces. Empty pieces are dropped.
func ParseScopes(claim string) Scopes { return splitScopes([]string{claim}) }

func splitScopes(values []string) Scopes {
	var list Scopes
	for _, v := range values {
		list = slices.Grow(list, strings.Count(v, " ")+1)
		for s := range strings.SplitSeq(v, " ") {
			if s != "" {
				list = append(list, s)
			}
		}
	}
	return list
}

// String joins them as in the claim.
func (s Scopes) String() string { return strings.Join(s, " ") }

// Scope is one scope with a path: name[:path], split at the first colon.
type Scope struct {
	Name    string
	Path    Path // meaningful when HasPath
	HasPath bool
}

// ParseScope reads a scope whose part after the first colon, if there is one, is a path. Use it for names that have
// one: in "fts:submit-transfer" the part after the colon is no path, and the error is ErrScopePath.
func ParseScope(s string) (Scope, error) {
	name, path, has := strings.Cut(s, ":")
	if !has {
		return Scope{Name: name}, nil
	}
	p, err := ParsePath(path)
	if err != nil {
		return Scope{}, fmt.Errorf("scope %s: %w", printableName(name), err)
	}
	return Scope{Name: name, Path: p, HasPath: true}, nil
}

// printableName gives back only names we know, so that an error repeats nothing a stranger wrote.
func printableName(name string) string {
	switch name {
	case "storage.read", "storage.create", "storage.modify", "storage.stage", "storage.poll", "read", "write":
		return name
	}
	return "(unknown)"
}

// String is the scope as it stands in a claim.
func (s Scope) String() string {
	if !s.HasPath {
		return s.Name
	}
	return s.Name + ":" + s.Path.String()
}

// Covers reports whether whoever holds s may be given o: the same name, and o's path at or below that of s. From a
// directory (a slash at the end) one cannot get to the file of that name.
func (s Scope) Covers(o Scope) bool {
	if s.Name != o.Name || s.HasPath != o.HasPath {
		return false
	}
	return !s.HasPath || s.Path.covers(o.Path, false)
}

// CoversScope reports whether a token with the scope have may do what the scope want names: they are the same, or paths
// of the same name with that of want below the other.
func CoversScope(have, want string) bool {
	if have == want {
		return true
	}
	h, err := ParseScope(have)
	if err != nil || !h.HasPath {
		return false
	}
	w, err := ParseScope(want)
	return err == nil && h.Covers(w)
}

// takesPath reports whether a scope of this name has to have a path in profile p. An unknown storage scope counts: a
// storage scope without a path makes a WLCG token invalid.
func takesPath(p Profile, name string) bool {
	switch p {
	case WLCG:
		return strings.HasPrefix(name, "storage.")
	case SciTokens:
		return name == "read" || name == "write"
	}
	return false
}

// Capabilities are the scopes of a token that its profile gives a meaning, path and all.
type Capabilities struct {
	profile Profile
	list    []Scope
}

// Capabilities returns what the token may do by the rules of p, which has to be its profile; profiles that define no
// capabilities give none. The error is ErrScopePath: one bad path makes the whole token invalid.
func (t *Token) Capabilities(p Profile) (Capabilities, error) { return t.Scopes.Capabilities(p) }

// Capabilities is that of Token, for a scope claim alone. Unknown names are other people's scopes and ignored.
func (s Scopes) Capabilities(p Profile) (Capabilities, error) {
	c := Capabilities{profile: p}
	for i, one := range s {
		name, _, _ := strings.Cut(one, ":")
		switch {
		case takesPath(p, name):
			scope, err := ParseScope(one)
			if err != nil {
				return Capabilities{}, err
			}
			if !scope.HasPath {
				return Capabilities{}, fmt.Errorf("scope %s: %w: it has none", printableName(name), ErrScopePath)
			}
			c.add(scope, len(s)-i)
		case plainCapability(p, one):
			c.add(Scope{Name: one}, len(s)-i)
		}
	}
	return c, nil
}

// add makes room for the first and all that may follow it.
func (c *Capabilities) add(s Scope, most int) {
	if c.list == nil {
		c.list = make([]Scope, 0, most)
	}
	c.list = append(c.list, s)
}

// check returns the error that Capabilities would.
func (s Scopes) check(p Profile) error {
	for _, one := range s {
		if name, path, has := strings.Cut(one, ":"); takesPath(p, name) && (!has || !validPath(path)) {
			_, err := s.Capabilities(p)
			return err
		}
	}
	return nil
}

func plainCapability(p Profile, name string) bool {
	switch name {
	case "compute.read", "compute.modify", "compute.create", "compute.cancel", "host.auth":
		return p == WLCG
	case "queue", "execute":
		return p == SciTokens
	}
	return false
}

// Any reports whether there is a capability at all. A WLCG service that knows both kinds decides by capabilities only
// when there is one, and by groups when there is none.
func (c Capabilities) Any() bool { return len(c.list) > 0 }

// Allow reports whether operation (a scope name, "storage.read", "compute.create") is granted, on path where the
// operation has one. The path is as a client sent it: absolute, percent-encoded once; in WLCG a path that ends in a
// slash names a directory, any other a file. The error is ErrRequestPath; the answer is then no.
func (c Capabilities) Allow(operation, path string) (bool, error) {
	var request Path
	if takesPath(c.profile, operation) {
		var err error
		if request, err = ParseRequestPath(path); err != nil {
			return false, err
		}
	}
	return c.AllowPath(operation, request), nil
}

// AllowPath is Allow with a path that [ParseRequestPath] has read.
func (c Capabilities) AllowPath(operation string, request Path) bool {
	located := takesPath(c.profile, operation)
	for i := range c.list {
		s := &c.list[i]
		switch {
		case !located && s.Name == operation:
			return true
		case located && s.HasPath && implies(s.Name, operation) && c.match(s.Path, request, operation):
			return true
		}
	}
	return false
}

// implies reports whether a scope called have allows operation. modify includes create and stage includes poll; neither
// includes read.
func implies(have, operation string) bool {
	switch operation {
	case have:
		return true
	case "storage.create":
		return have == "storage.modify"
	case "storage.poll":
		return have == "storage.stage"
	}
	return false
}

func (c Capabilities) match(have, request Path, operation string) bool {
	if c.profile != WLCG { // SciTokens gives a slash at the end no meaning
		return have.covers(request, true)
	}
	if have.covers(request, false) {
		return true
	}
	// Creating below a path needs the directories above it; changing or deleting those is another matter.
	return operation == "storage.create" && request.dir && request.covers(have, true)
}
