package login

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest file name that common file systems take, less the room for that of a temporary file.
const maxName = 200

// CheckName reports why name cannot be a short name, with an error that wraps ErrName: it is the name of a file, so
// it must not lead out of the directory, hide itself, or be one of the names that mean something else there.
func CheckName(name string) error {
	fault := ""
	switch {
	case name == "":
		fault = "it is empty"
	case len(name) > maxName:
		fault = fmt.Sprintf("it is longer than %d bytes", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		fault = "it has characters that cannot be printed"
	case strings.ContainsAny(name, `/\`):
		fault = "it has a slash"
	case name[0] == '.':
		fault = "it begins with a dot"
	case reservedName(name):
		fault = "the name has another use in this directory"
	case !filepath.IsLocal(name):
		fault = "the operating system does not take it"
	}
	if fault == "" {
		return nil
	}
	return fmt.Errorf("%w %q: %s", ErrName, cutText(name, 40), fault)
}

// reservedName reports whether the original takes a file of this name for something else than an account.
func reservedName(name string) bool {
	if name == "config" {
		return true
	}
	for _, suffix := range []string{".config", ".stats", ".log"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return IsClientFile(name)
}

// IsClientFile reports whether a file of this name is the registration of a client that versions before 4 wrote beside
// accounts: x.clientconfig, x.clientconfig2, ...
func IsClientFile(name string) bool {
	return strings.HasSuffix(strings.TrimRight(name, "0123456789"), ".clientconfig")
}

func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
