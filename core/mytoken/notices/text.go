package notices

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in bytes.
const (
	maxName    = 128 // of a calendar
	maxComment = 256
	shownName  = 80 // of a mytoken in a subject
	shownText  = 200
)

// oneLine makes a text of a stranger harmless: one line, nothing invisible, nothing that turns the direction of what
// follows, at most n bytes.
func oneLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Cf):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return cut(strings.Join(strings.Fields(s), " "), n)
}

// cut shortens a text to n bytes, and says so by three dots.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	n -= len("...")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:max(n, 0)] + "..."
}

// validLine reports whether a text that a person gave can be kept as it is.
func validLine(s string, n int) bool { return len(s) <= n && s == oneLine(s, n) }

// notLink breaks what a mail program would make a link of: a name is no place for one.
func notLink(s string) string {
	return strings.NewReplacer("://", ":/ /", "www.", "www .", "@", " at ").Replace(s)
}

// shown is the name of a mytoken as mails and calendars have it.
func shown(name string) string {
	if name = notLink(oneLine(name, shownName)); name == "" {
		return "without a name"
	}
	return name
}
