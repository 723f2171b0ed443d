package profiles

import (
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Name is that of a template: a group and a name in it.
type Name struct{ Group, Name string }

// String is the name as a request has it.
func (n Name) String() string {
	if n.Group == mytoken.DefaultGroup {
		return n.Name
	}
	return n.Group + "/" + n.Name
}

// maxName is the longest name of a template or a group, in bytes.
const maxName = 128

// ParseName reads "name", of the default group, or "group/name", each with or without "@" in front. The error is
// ErrName.
func ParseName(s string) (Name, error) {
	group, name, found := strings.Cut(strings.TrimPrefix(s, "@"), "/")
	if !found {
		group, name = mytoken.DefaultGroup, group
	}
	if !Valid(group) || !Valid(name) {
		return Name{}, ErrName
	}
	return Name{group, name}, nil
}

// Valid reports whether s can be the name of a template or of a group: printable, without blanks and without what has a
// meaning in requests.
func Valid(s string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/@,"'\{}[]<>&`, r) }
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, odd)
}
