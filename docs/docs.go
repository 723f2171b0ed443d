// Package docs carries the hand-written parts of the man pages inside the binary, so that one copied file brings its
// own manual.
//
// Not a public API.
package docs

import "embed"

//go:embed man/*.md
var pages embed.FS

// Man returns the hand-written part of a role's man page as Markdown, "" when there is none.
func Man(role string) string {
	b, err := pages.ReadFile("man/" + role + ".md")
	if err != nil {
		return ""
	}
	return string(b)
}
