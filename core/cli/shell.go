package cli

import (
	"errors"
	"strings"
)

// ShellQuote makes s one word for a POSIX shell. A usual path stays as it is.
func ShellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ErrNoAssignment is returned by ParseAssignment for a line that only a shell could make sense of.
var ErrNoAssignment = errors.New("is no plain assignment")

// ParseAssignment reads NAME=value, with "export" in front and a comment behind if need be. ok is false for an empty line. What
// a shell would look up, run or expand is refused: the file says what it means, or nothing.
func ParseAssignment(line string) (name, value string, ok bool, err error) {
	line = strings.Trim(line, " \t")
	if line == "" || line[0] == '#' {
		return "", "", false, nil
	}
	if rest, isExport := strings.CutPrefix(line, "export "); isExport {
		line = strings.TrimLeft(rest, " \t")
	}
	name, rest, found := strings.Cut(line, "=")
	if !found || !isName(name) {
		return "", "", false, ErrNoAssignment
	}
	value, rest, err = word(rest)
	if err != nil {
		return "", "", false, err
	}
	// A ';' may end a line as it does in a shell; then only a comment may follow.
	after := strings.Trim(strings.TrimPrefix(strings.TrimLeft(rest, " \t"), ";"), " \t")
	if after != "" && after[0] != '#' {
		return "", "", false, ErrNoAssignment
	}
	return name, value, true, nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// word reads one word of a shell, quoted in parts or not, and returns what follows it.
func word(s string) (value, rest string, err error) {
	var b strings.Builder
	for s != "" {
		switch c := s[0]; {
		case c == ' ' || c == '\t' || c == ';':
			return b.String(), s, nil
		case c == '\'' || c == '"':
			inside, after, closed := strings.Cut(s[1:], string(c))
			if !closed || c == '"' && strings.ContainsAny(inside, "$`\\!") {
				return "", "", ErrNoAssignment
			}
			b.WriteString(inside)
			s = after
		case strings.IndexByte("$`\\|&<>()*?[]{}~!#", c) >= 0 || c < ' ':
			return "", "", ErrNoAssignment
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), "", nil
}
