package names

import (
	"fmt"
	"regexp"
	"strings"
)

// Rewrite is one line of rules that make a name of an entitlement. The zero value changes nothing.
type Rewrite struct {
	re   *regexp.Regexp
	with string
}

// ParseRewrite reads "EXPRESSION -> REPLACEMENT". A comment begins with " #"; without a replacement what is found goes
// away. The replacement names groups as \1 or \g<name>. An expression of Python that RE2 has not (look-around, back
// references) is ErrRule, and so is everything else that cannot be read.
func ParseRewrite(line string) (Rewrite, error) {
	if i := strings.Index(line, " #"); i >= 0 {
		line = line[:i]
	}
	expression, replacement, ok := strings.Cut(line, "->")
	if expression = strings.TrimSpace(expression); !ok || expression == "" || len(line) > maxText {
		return Rewrite{}, fmt.Errorf("%w: %q is not EXPRESSION -> REPLACEMENT", ErrRule, line)
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return Rewrite{}, fmt.Errorf("%w: %w", ErrRule, err)
	}
	with, err := template(strings.TrimSpace(replacement), re)
	if err != nil {
		return Rewrite{}, err
	}
	return Rewrite{re: re, with: with}, nil
}

// template writes a replacement of Python as one of package regexp. A group that the expression has not is an error.
func template(s string, re *regexp.Regexp) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$':
			b.WriteString("$$")
		case s[i] != '\\':
			b.WriteByte(s[i])
		default:
			name, size := groupName(s[i+1:])
			if name == "" || !hasGroup(re, name) {
				return "", fmt.Errorf("%w: %q names no group of %s", ErrRule, s[i:], re)
			}
			b.WriteString("${" + name + "}")
			i += size
		}
	}
	return b.String(), nil
}

// groupName reads what follows a backslash: a digit, or g<name>. The second result is how many bytes that was.
func groupName(s string) (string, int) {
	if s != "" && digit(s[0]) {
		return s[:1], 1
	}
	if rest, ok := strings.CutPrefix(s, "g<"); ok {
		if name, _, ok := strings.Cut(rest, ">"); ok {
			return name, len("g<>") + len(name)
		}
	}
	return "", 0
}

func hasGroup(re *regexp.Regexp, name string) bool {
	if len(name) == 1 && digit(name[0]) {
		return int(name[0]-'0') <= re.NumSubexp()
	}
	return re.SubexpIndex(name) >= 0
}

// rewrite applies all rules to an entitlement without its authority. A text that grows beyond all bounds is left to
// Convert, which refuses it.
func rewrite(rules []Rewrite, text string) string {
	text, _, _ = strings.Cut(text, "#")
	for _, r := range rules {
		if r.re == nil {
			continue
		}
		if text = r.re.ReplaceAllString(text, r.with); len(text) > maxText {
			return text
		}
	}
	return text
}
