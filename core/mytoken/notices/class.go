package notices

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

const (
	classSecurity = "security"
	classBlocked  = "security:blocked_usages"
)

// Class is one that a person can subscribe to. Classes below it, by the colons of their names, come with it.
type Class struct{ Name, Description string }

// Classes are all, parents before children.
func Classes() []Class {
	return []Class{
		{desk.ClassAccess, "Access tokens were created, summed up"},
		{desk.ClassSubtoken, "A mytoken was made from the mytoken"},
		{desk.ClassSettings, "Settings were changed"},
		{classSecurity, "Everything about security"},
		{desk.ClassIPs, "The mytoken was used from an address for the first time"},
		{desk.ClassRevoked, "The mytoken was revoked"},
		{classBlocked, "A use of the mytoken was refused"},
		{desk.ClassCapabilities, "A use was refused because the mytoken lacks the capability"},
		{desk.ClassRestrictions, "A use was refused because of the restrictions of the mytoken"},
		{desk.ClassExpiration, "The mytoken will expire, or has expired"},
		{desk.ClassRefresh, "The provider no longer accepts the login behind the mytoken"},
	}
}

// covers reports whether one of the classes is a class or above it.
func covers(classes []string, class string) bool {
	return slices.ContainsFunc(classes, func(c string) bool {
		return c == class || strings.HasPrefix(class, c+":")
	})
}

// checkClasses returns the classes in the order of Classes, each once.
func checkClasses(asked []string) ([]string, error) {
	var out []string
	for _, c := range Classes() {
		if slices.Contains(asked, c.Name) {
			out = append(out, c.Name)
		}
	}
	for _, a := range asked {
		if !slices.Contains(out, a) {
			return nil, fmt.Errorf("class %q: %w", cut(a, 64), ErrClass)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none given: %w", ErrClass)
	}
	return out, nil
}
